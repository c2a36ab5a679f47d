//! What the reference's portmap left. Debian ships 1.1.1, which has only iptables; the rules of the later nftables
//! backend are written as it writes them.

use serde_json::{Value, json};
use tests::config::changed;
use tests::{Look, Node, Pod, REFERENCE, with_prev_result};

use super::service::{Place, ask, serve};
use super::{GATEWAY, NODE, attached, call_in, config, forward_in, mapping, says, with_host_ip};

fn references(node: &Node, id: &str, mappings: Value) -> (Pod, Value) {
    let (pod, result) = attached(node, id);
    forward_in(node, REFERENCE.as_ref(), &pod, &config(mappings, json!({})), &result).unwrap();
    (pod, result)
}

/// The lines of a pod, in all tables of the reference's.
fn of_pod(node: &Node, id: &str) -> usize {
    let own_chain = |line: &str| line.contains("CNI-DN-") && line.trim_start().starts_with("chain ");
    let text = node.look("nft list ruleset");
    let text = text.lines().filter(|line| {
        line.contains(&format!("\"{id}\"")) || line.contains(&format!("id: \\\"{id}\\\"")) || own_chain(line)
    });
    text.count()
}

#[test]
fn del_removes_what_the_references_add_made_and_no_other_pods() {
    let node = Node::new();
    let mappings = |port| json!([mapping("tcp", port, 80), with_host_ip(NODE, &mapping("udp", port, 53))]);
    let (first, _) = references(&node, "first", mappings(8080));
    let (second, _) = references(&node, "second", mappings(9090));
    serve(Place::Pod(&second), "second", "tcp", "::", 80);
    let chains = || node.look("nft list ruleset | grep -c 'chain CNI-DN-' || true").trim().to_owned();
    assert_eq!(chains(), "4");
    let config = config(json!(null), json!({}));
    for _ in 0..2 {
        node.call("portmap", &first).with("CNI_NETNS", "").del(&config);
        assert_eq!(chains(), "2");
    }
    assert!(ask(Place::Host, "tcp", GATEWAY, 9090).starts_with("second to "));
    node.call("portmap", &second).del(&config);
    assert_eq!(chains(), "0");
    assert!(!node.look("iptables-save -t nat; ip6tables-save -t nat").contains("dnat name:"));
}

/// The same container's eth1 is in another network, whose config has no ports.
#[test]
fn del_of_another_network_leaves_the_containers_ports_alone() {
    let node = Node::new();
    let (pod, result) = references(&node, "c1", json!([mapping("tcp", 8080, 80)]));
    serve(Place::Pod(&pod), "c1", "tcp", "::", 80);
    let other = config(json!([mapping("tcp", 8080, 80)]), json!({"name": "other"}));
    node.call("portmap", &pod).with("CNI_IFNAME", "eth1").del(&other);
    assert!(ask(Place::Host, "tcp", GATEWAY, 8080).starts_with("c1 to "));
    let failure = node.call("portmap", &pod).verb("CHECK", &with_prev_result(&other, &result)).unwrap_err();
    says(&failure, 999, &["not forwarded any more"]);
}

#[test]
fn gc_removes_what_the_reference_left_of_pods_that_are_not_valid() {
    let node = Node::new();
    references(&node, "gone", json!([mapping("tcp", 8080, 80)]));
    references(&node, "valid", json!([mapping("tcp", 9090, 80)]));
    let gc = |network: &str| {
        let keys = json!({
            "cniVersion": "1.1.0", "name": network,
            "cni.dev/valid-attachments": [{"containerID": "valid", "ifname": "eth0"}],
        });
        node.call("portmap", &Pod::new("none"))
            .verb("GC", &changed(&config(json!(null), json!({})), keys))
            .unwrap();
        node.look("nft list ruleset | grep -c 'chain CNI-DN-' || true").trim().to_owned()
    };
    assert_eq!(gc("other"), "4");
    assert_eq!(gc("pods"), "2");
}

#[test]
fn check_accepts_pods_that_the_reference_attached_before() {
    let node = Node::new();
    let (pod, result) = references(&node, "c1", json!([mapping("tcp", 8080, 80)]));
    node.call("portmap", &pod).check(&config(json!([mapping("tcp", 8080, 80)]), json!({})), &result);
}

#[test]
fn del_removes_the_rules_of_the_nftables_backend() {
    let node = Node::new();
    for family in ["ip", "ip6"] {
        let (address, bracketed) =
            if family == "ip" { ("10.244.0.9", "10.244.0.9") } else { ("fd00::9", "[fd00::9]") };
        node.look(&format!(
            "nft -f - << 'END'
table {family} cni_hostport {{
    comment \"CNI portmap plugin\"
    chain hostports {{
        tcp dport 8080 dnat to {bracketed}:80 comment \"c1\"
        tcp dport 9090 dnat to {bracketed}:80 comment \"c11\"
    }}
    chain hostip_hostports {{ }}
    chain masquerading {{
        type nat hook postrouting priority srcnat;
        {family} saddr {address} {family} daddr {address} masquerade comment \"c1\"
    }}
}}
END"
        ));
    }
    assert_eq!(of_pod(&node, "c1"), 4);
    let config = config(json!([mapping("tcp", 8080, 80)]), json!({}));
    node.call("portmap", &Pod::new("c1")).del(&config);
    assert_eq!((of_pod(&node, "c1"), of_pod(&node, "c11")), (0, 2));
}

#[test]
fn the_references_del_and_ours_answer_alike_for_a_pod_without_ports() {
    let node = Node::new();
    let (pod, result) = attached(&node, "c1");
    let config = with_prev_result(&config(json!([mapping("tcp", 8080, 80)]), json!({})), &result);
    for folder in [node.bin(), REFERENCE.as_ref()] {
        call_in(&node, folder, &pod).del(&config);
    }
}
