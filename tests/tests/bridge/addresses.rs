//! Addresses and routes of the pod, and the bridge as its gateway.

use serde_json::json;
use tests::config::{bridge, host_local};
use tests::{Look, Node, Pod};

/// The routes of a namespace as `ip` shows them, of every table, without those that the kernel adds.
fn routes(pod: &Pod, family: &str) -> Vec<String> {
    let shown = pod.look(&format!("ip {family} route show table all type unicast"));
    let given = shown.lines().filter(|line| !line.contains("proto kernel") && !line.starts_with("fe80::"));
    given.map(|line| line.trim().to_owned()).collect()
}

#[test]
fn a_gateway_is_an_address_of_the_bridge_and_forwards() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.call("bridge", &pod).add(&bridge(json!({"isGateway": true})));
    assert_eq!(node.addresses("cni0"), ["10.244.0.1/24"]);
    assert!(routes(&pod, "-4").is_empty());
    assert_eq!(node.sysctl("net/ipv4/ip_forward"), "1");
    assert_eq!(node.sysctl("net/ipv6/conf/all/forwarding"), "0");
    assert!(pod.reaches("10.244.0.1", 56));
}

#[test]
fn a_default_gateway_is_one_with_a_default_route() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let result = node.call("bridge", &pod).add(&bridge(json!({"isDefaultGateway": true})));
    assert_eq!(node.addresses("cni0"), ["10.244.0.1/24"]);
    assert_eq!(routes(&pod, "-4"), ["default via 10.244.0.1 dev eth0"]);
    assert_eq!(result["routes"], json!([{"dst": "0.0.0.0/0", "gw": "10.244.0.1"}]));
}

#[test]
fn without_a_gateway_the_bridge_has_no_address_and_nothing_is_forwarded() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let forwarding = node.sysctl("net/ipv4/ip_forward");
    node.call("bridge", &pod).add(&bridge(json!({})));
    assert!(node.addresses("cni0").is_empty());
    assert_eq!(node.sysctl("net/ipv4/ip_forward"), forwarding);
}

#[test]
fn a_gateway_that_ipam_names_is_the_bridges_address() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let mut ipam = host_local(&["10.244.0.0/24"]);
    ipam["ranges"][0][0]["gateway"] = json!("10.244.0.254");
    node.call("bridge", &pod).add(&bridge(json!({"isDefaultGateway": true, "ipam": ipam})));
    assert_eq!(node.addresses("cni0"), ["10.244.0.254/24"]);
    assert_eq!(routes(&pod, "-4"), ["default via 10.244.0.254 dev eth0"]);
}

#[test]
fn ipv6_alone_works() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let config = bridge(json!({"isDefaultGateway": true, "ipam": host_local(&["fd00:244::/64"])}));
    let call = node.call("bridge", &pod);
    let result = call.add(&config);
    assert_eq!(pod.addresses("eth0"), ["fd00:244::2/64"]);
    assert_eq!(node.addresses("cni0"), ["fd00:244::1/64"]);
    assert!(routes(&pod, "-6").iter().any(|route| route.starts_with("default via fd00:244::1 dev eth0")));
    assert_eq!(node.sysctl("net/ipv6/conf/all/forwarding"), "1");
    assert_eq!(node.sysctl("net/ipv4/ip_forward"), "0");
    assert!(pod.reaches("fd00:244::1", 56));
    call.check(&config, &result);
    call.del(&config);
}

#[test]
fn both_families_are_usable_when_add_returns() {
    let node = Node::new();
    let config =
        bridge(json!({"isDefaultGateway": true, "ipam": host_local(&["10.244.0.0/24", "fd00:244::/64"])}));
    for number in 0..5 {
        let pod = Pod::new(&format!("c{number}"));
        node.call("bridge", &pod).add(&config);
        assert_eq!(pod.look("ip -6 addr show tentative"), "");
        assert!(pod.reaches("fd00:244::1", 56) && pod.reaches("10.244.0.1", 56));
    }
    assert_eq!(node.addresses("cni0"), ["10.244.0.1/24", "fd00:244::1/64"]);
}

#[test]
fn an_address_that_is_probed_first_is_usable_when_add_returns() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let ipam = host_local(&["fd00:244::/64"]);
    node.call("bridge", &pod).add(&bridge(json!({"isGateway": true, "enabledad": true, "ipam": ipam})));
    assert_eq!(pod.look("ip -6 addr show tentative"), "");
    assert!(!pod.look("ip -6 addr show scope global").contains("nodad"));
    assert!(pod.reaches("fd00:244::1", 56));
}

#[test]
fn an_address_that_another_pod_has_is_found_by_probing() {
    let (node, other, pod) = (Node::new(), Pod::new("other"), Pod::new("c1"));
    node.call("bridge", &other).add(&bridge(json!({"ipam": null})));
    other.look("ip addr add fd00:244::2/64 dev eth0 nodad");
    let before = node.fingerprint();

    let ipam = host_local(&["fd00:244::/64"]);
    let config = bridge(json!({"enabledad": true, "ipam": ipam}));
    let failure = node.call("bridge", &pod).verb("ADD", &config).unwrap_err();
    assert!(
        failure.message.contains("fd00:244::2") && failure.message.contains("already used"),
        "{failure:?}"
    );
    assert_eq!(node.fingerprint(), before);
    assert!(pod.links().is_empty());
}

#[test]
fn routes_are_set_with_all_their_fields() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let mut ipam = host_local(&["10.244.0.0/24"]);
    let given = json!([
        {"dst": "192.0.2.0/24", "gw": "10.244.0.9", "mtu": 1400, "advmss": 1300, "priority": 50, "table": 100},
        {"dst": "198.51.100.0/24", "scope": 253},
        {"dst": "203.0.113.0/24", "priority": 7, "table": 5000},
    ]);
    ipam["routes"] = given.clone();
    let call = node.call("bridge", &pod);
    let config = bridge(json!({"isGateway": true, "ipam": ipam}));
    let result = call.add(&config);
    assert_eq!(result["routes"], given);
    let mut found = routes(&pod, "-4");
    found.sort();
    assert_eq!(
        found,
        [
            "192.0.2.0/24 via 10.244.0.9 dev eth0 table 100 metric 50 mtu 1400 advmss 1300",
            "198.51.100.0/24 dev eth0 scope link",
            "203.0.113.0/24 via 10.244.0.1 dev eth0 table 5000 metric 7",
        ]
    );
    call.check(&config, &result);
}

#[test]
fn a_route_whose_next_hop_is_out_of_reach_fails_the_add_with_its_name() {
    let (node, other, pod) = (Node::new(), Pod::new("other"), Pod::new("c1"));
    node.call("bridge", &other).add(&bridge(json!({})));
    let before = node.fingerprint();
    let mut ipam = host_local(&["10.244.0.0/24"]);
    ipam["routes"] = json!([{"dst": "192.0.2.0/24", "gw": "10.99.0.1"}]);
    let failure = node.call("bridge", &pod).verb("ADD", &bridge(json!({"ipam": ipam}))).unwrap_err();
    assert!(failure.message.contains("192.0.2.0/24 via 10.99.0.1"), "{failure:?}");
    assert_eq!(node.fingerprint(), before);
}

#[test]
fn a_pod_whose_ipv6_is_switched_off_by_default_gets_its_address() {
    // As container runtimes and hardened nodes have it.
    let (node, pod) = (Node::new(), Pod::new("c1"));
    pod.look("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
    let ipam = host_local(&["10.244.0.0/24", "fd00:244::/64"]);
    node.call("bridge", &pod).add(&bridge(json!({"isDefaultGateway": true, "ipam": ipam})));
    assert_eq!(pod.addresses("eth0"), ["10.244.0.2/24", "fd00:244::2/64"]);
    assert!(pod.reaches("fd00:244::1", 56));
}

#[test]
fn a_node_whose_ipv6_is_switched_off_says_so() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.look("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
    let ipam = host_local(&["10.244.0.0/24", "fd00:244::/64"]);
    let config = bridge(json!({"isDefaultGateway": true, "ipam": ipam}));
    let failure = node.call("bridge", &pod).verb("ADD", &config).unwrap_err();
    assert!(
        failure.message.contains("fd00:244::1/64") && failure.message.contains("IPv6 is disabled"),
        "{failure:?}"
    );
    assert!(pod.links().is_empty());
}

#[test]
fn two_subnets_of_one_family_have_a_gateway_each() {
    let node = Node::new();
    let config = bridge(json!({"isGateway": true, "ipam": host_local(&["10.1.0.0/24", "10.2.0.0/24"])}));
    for id in ["c1", "c2"] {
        let pod = Pod::new(id);
        let result = node.call("bridge", &pod).add(&config);
        assert!(pod.reaches("10.1.0.1", 56) && pod.reaches("10.2.0.1", 56));
        node.call("bridge", &pod).check(&config, &result);
    }
    assert_eq!(node.addresses("cni0"), ["10.1.0.1/24", "10.2.0.1/24"]);
}
