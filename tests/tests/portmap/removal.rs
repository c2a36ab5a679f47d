//! DEL and GC.

use serde_json::json;
use tests::config::changed;
use tests::{Look, Node, with_prev_result};

use super::{config, elements, mapping, with_ports};

#[test]
fn del_needs_neither_prev_result_nor_namespace_nor_mappings_nor_the_networks_name() {
    let node = Node::new();
    let mappings = json!([mapping("tcp", 8080, 80), mapping("udp", 8053, 53)]);
    let full = config(mappings.clone(), json!({}));
    for (netns, del) in [
        (true, full.clone()),
        (false, full.clone()),
        (true, config(json!(null), json!({}))),
        (false, config(json!([]), json!({"name": "renamed"}))),
        (true, config(mappings.clone(), json!({"conditionsV4": ["-i", "eth0"], "snat": false}))),
    ] {
        let (pod, result) = with_ports(&node, "c1", mappings.clone());
        assert_ne!(elements(&node), 0);
        let del = if netns { with_prev_result(&del, &result) } else { del };
        for _ in 0..2 {
            let call = node.call("portmap", &pod);
            let call = if netns { call } else { call.with("CNI_NETNS", "") };
            call.del(&del);
            assert_eq!(elements(&node), 0, "{del}");
        }
        node.call("bridge", &pod).del(&super::network());
    }
}

#[test]
fn del_on_a_node_that_never_forwarded_a_port_creates_nothing() {
    let node = Node::new();
    node.call("portmap", &tests::Pod::new("c1")).del(&config(json!([mapping("tcp", 1, 1)]), json!({})));
    assert_eq!(node.look("nft list ruleset"), "");
}

#[test]
fn del_of_one_interface_leaves_the_other_alone() {
    let node = Node::new();
    let (pod, result) = with_ports(&node, "c1", json!([mapping("tcp", 8080, 80)]));
    let own = elements(&node);
    pod.shell("ip link add net1 type veth peer name peer1");
    let mut second = result.clone();
    second["interfaces"][2]["name"] = json!("net1");
    second["ips"] = json!([{"address": "10.9.0.7/24", "interface": 2}]);
    let config = config(json!([mapping("tcp", 9090, 80)]), json!({}));
    let call = || node.call("portmap", &pod).with("CNI_IFNAME", "net1");
    call().add(&with_prev_result(&config, &second));
    assert!(elements(&node) > own);
    call().del(&config);
    assert_eq!(elements(&node), own);
}

#[test]
fn gc_gives_back_the_ports_of_pods_that_are_gone_and_of_no_other() {
    let node = Node::new();
    let call = |network: &str, valid: serde_json::Value| {
        let keys = json!({"cniVersion": "1.1.0", "name": network, "cni.dev/valid-attachments": valid});
        let pod = tests::Pod::new("none");
        let call = node.call("portmap", &pod);
        call.verb("GC", &changed(&config(json!(null), json!({})), keys)).unwrap();
    };
    let (alive, _) = with_ports(&node, "alive", json!([mapping("tcp", 1000, 80)]));
    let one = elements(&node);
    let (gone, _) = with_ports(&node, "gone", json!([mapping("tcp", 1001, 80)]));
    let (listed, _) = with_ports(&node, "listed", json!([mapping("tcp", 1002, 80)]));
    drop((gone, listed));
    let valid = json!([{"containerID": "listed", "ifname": "eth0"}]);
    call("other", json!([]));
    assert_eq!(elements(&node), 3 * one, "another network's GC");
    call("pods", valid);
    assert_eq!(elements(&node), 2 * one, "only what is gone and not listed goes");
    call("pods", json!([]));
    assert_eq!(elements(&node), one, "what lives stays, also unlisted");
    alive.shell("ip link delete eth0");
    call("pods", json!([]));
    assert_eq!(elements(&node), 0);
    // Without a list, nothing may be removed.
    with_ports(&node, "again", json!([mapping("tcp", 1000, 80)]));
    let keys = json!({"cniVersion": "1.1.0"});
    node.call("portmap", &alive).verb("GC", &config(json!(null), keys)).unwrap();
    assert_eq!(elements(&node), one);
}
