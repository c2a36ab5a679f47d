//! `ptp` of either set.

use serde_json::{Value, json};
use tests::config::{changed, host_local, ptp};
use tests::{Look, Node, Pod, with_prev_result};

use crate::{Set, shape};

fn full(version: &str) -> Value {
    let mut ipam = host_local(&["10.244.0.0/24", "fd00:244::/64"]);
    ipam["routes"] =
        json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}, {"dst": "198.51.100.0/24", "gw": "10.244.0.9"}]);
    let dns = json!({"nameservers": ["10.96.0.10"], "search": ["cluster.local"]});
    ptp(json!({"cniVersion": version, "mtu": 1450, "ipam": ipam, "dns": dns}))
}

/// A node on which the network was used before, and how that looks.
fn used() -> (Node, String) {
    let (node, pod) = (Node::new(), Pod::new("c0"));
    node.call("ptp", &pod).add(&full("1.0.0"));
    node.call("ptp", &pod).del(&full("1.0.0"));
    let before = node.fingerprint();
    (node, before)
}

#[test]
fn results_are_the_same_field_by_field_in_every_version() {
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"] {
        let shapes = [0, 1].map(|set| {
            let (node, pod) = (Node::new(), Pod::new("c1"));
            let result = Set::both(&node)[set].call(&node, "ptp", &pod).add(&full(version));
            shape(&result, &pod)
        });
        assert_eq!(shapes[0], shapes[1], "{version}");
    }
}

#[test]
fn host_and_pod_look_the_same() {
    let views = [0, 1].map(|set| {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let result = Set::both(&node)[set].call(&node, "ptp", &pod).add(&full("1.0.0"));
        let name = result["interfaces"][0]["name"].as_str().unwrap();
        let (host, eth0) = (node.link(name), pod.link("eth0"));
        let routes = |place: &dyn Fn(&str) -> String| {
            let shown = place("ip route; ip -6 route").replace(name, "HOST");
            let mut routes: Vec<_> = shown.lines().map(|line| line.trim().to_owned()).collect();
            routes.retain(|route| !route.starts_with("fe80"));
            routes
        };
        let parameters = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"].map(|key| node.sysctl(key));
        (
            [&host, &eth0].map(|link| (link["mtu"].clone(), link["flags"].clone())),
            [node.addresses(name), pod.addresses("eth0")],
            [routes(&|command| node.look(command)), routes(&|command| pod.look(command))],
            (parameters, node.sysctl(&format!("net/ipv6/conf/{name}/accept_ra"))),
        )
    });
    assert_eq!(views[0], views[1]);
}

#[test]
fn either_checks_and_removes_the_others_attachments() {
    for (maker, remover) in [(0, 1), (1, 0)] {
        for with_result in [true, false] {
            let (node, before) = used();
            let pod = Pod::new("c1");
            let sets = Set::both(&node);
            let result = sets[maker].call(&node, "ptp", &pod).add(&full("1.0.0"));
            let remover = sets[remover].call(&node, "ptp", &pod);
            remover.check(&full("1.0.0"), &result);
            let config = if with_result { with_prev_result(&full("1.0.0"), &result) } else { full("1.0.0") };
            remover.del(&config);
            assert_eq!(node.fingerprint(), before, "made by {:?}", sets[maker]);
            assert!(pod.links().is_empty());
        }
    }
}

#[test]
fn weir_removes_the_references_masquerading() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let config = changed(&full("1.0.0"), json!({"ipMasq": true}));
    let [_, reference] = Set::both(&node);
    let result = reference
        .call(&node, "ptp", &pod)
        .with("PATH", super::masquerade::iptables(&node, "nft"))
        .add(&config);
    let rules = || node.look("iptables-nft-save -t nat; ip6tables-nft-save -t nat");
    assert_eq!(rules().matches("-j CNI-").count(), 2);
    node.call("ptp", &pod).del(&with_prev_result(&config, &result));
    assert!(!rules().contains("CNI-") && pod.links().is_empty());
}
