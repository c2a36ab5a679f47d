//! `ingressPolicy`.

use std::path::Path;

use serde_json::{Value, json};
use tests::config::changed;
use tests::{Look, Node};

use super::{Attached, Network, OUTSIDE, both, outside};

/// Which pods a pod of bridge `br1` reaches: the second of its own bridge, one of `br2`, of `br3` without a policy, and
/// the outside; and whether the pods of `br2` and `br3` reach it. Each in both families.
fn assert_reached(node: &Node, folder: &Path, policy: &str, inside: bool, between: bool) {
    let _outside = outside(node);
    let keys = json!({"ingressPolicy": policy});
    let network = Network::new("br1", 61, keys.clone());
    let [first, second] = ["c1", "c2"].map(|id| network.attach(node, folder, id));
    let other = Network::new("br2", 62, keys).attach(node, folder, "c3");
    let open = Network::new("br3", 63, json!({})).attach(node, folder, "c4");
    let checked = [&first, &second, &other, &open];
    checked.iter().for_each(|it| it.call(folder).verb("CHECK", &it.config).map(drop).unwrap());
    for (from, to, expected) in [
        (&first, &second.addresses, inside),
        (&first, &OUTSIDE.map(str::to_owned), true),
        (&first, &open.addresses, true),
        (&open, &first.addresses, true),
        (&first, &other.addresses, between),
        (&other, &first.addresses, between),
    ] {
        let reached = from.reached(to, &[expected; 2]);
        assert_eq!(reached, [expected; 2], "{policy}, {folder:?}: {} to {to:?}", from.pod.id());
    }
}

#[test]
fn same_bridge_keeps_bridges_with_a_policy_apart_as_the_reference_does() {
    for index in 0..2 {
        let node = Node::new();
        let folder = both(&node)[index];
        assert_reached(&node, folder, "same-bridge", true, false);
    }
}

#[test]
fn open_keeps_nothing_apart() {
    for index in 0..2 {
        let node = Node::new();
        let folder = both(&node)[index];
        assert_reached(&node, folder, "open", true, true);
    }
}

#[test]
fn isolated_also_keeps_the_pods_of_one_bridge_apart() {
    let node = Node::new();
    assert_reached(&node, node.bin(), "isolated", false, false);
}

/// A pod that sends to the gateway what is for another one goes around the bridge's ports.
#[test]
fn an_isolated_pod_is_not_reached_by_way_of_the_gateway_either() {
    for (policy, is_reached) in [("same-bridge", true), ("isolated", false)] {
        let node = Node::new();
        let network = Network::new("br1", 61, json!({"ingressPolicy": policy}));
        let [first, second] = ["c1", "c2"].map(|id| network.attach(&node, node.bin(), id));
        first.pod.shell(&format!("ip route add {} via 10.61.0.1", second.addresses[0]));
        assert_eq!(first.reached(&second.addresses[..1], &[is_reached]), [is_reached], "{policy}");
        let dropped = !node.look("nft list chain inet weir-firewall forward").contains("counter packets 0 ");
        assert_eq!(dropped, !is_reached, "{policy}");
    }
}

#[test]
fn del_and_gc_leave_no_element_of_a_policy() {
    let node = Node::new();
    let attached =
        Network::new("br1", 61, json!({"ingressPolicy": "isolated"})).attach(&node, node.bin(), "c1");
    let shown = || node.look("nft list table bridge weir-firewall; nft list table inet weir-firewall");
    assert_eq!(shown().matches("br1/c1/eth0").count(), 2, "{}", shown());
    attached.call(node.bin()).del(&attached.config);
    assert!(!shown().contains("br1/c1"), "{}", shown());
    assert!(shown().contains("\"br1\""), "{}", shown());
    let gc = |attached: &Attached<'_>| {
        let config: Value = json!({"cniVersion": "1.1.0", "name": "br1", "type": "firewall", "cni.dev/valid-attachments": []});
        attached.call(node.bin()).verb("GC", &config).map(drop).unwrap();
    };
    gc(&attached);
    assert!(shown().contains("\"br1\""), "{}", shown());
    node.look("ip link delete br1");
    gc(&attached);
    assert!(!shown().contains("\"br1\""), "{}", shown());
}

#[test]
fn an_isolated_port_is_given_back_by_an_add_with_another_policy_and_without_a_record() {
    let isolated = Network::new("br1", 61, json!({"ingressPolicy": "isolated"}));
    let is_isolated =
        |node: &Node| node.look("nft list set bridge weir-firewall isolated-ports").contains("br1/c1");
    for policy in ["open", "same-bridge"] {
        let node = Node::new();
        let attached = isolated.attach(&node, node.bin(), "c1");
        assert!(is_isolated(&node));
        attached.call(node.bin()).add(&changed(&attached.config, json!({"ingressPolicy": policy})));
        assert!(!is_isolated(&node), "{policy}");
    }
    for verb in ["DEL", "GC"] {
        let node = Node::new();
        let attached = isolated.attach(&node, node.bin(), "c1");
        node.look(
            "nft delete table inet weir-firewall; iptables-nft -F CNI-FORWARD; ip6tables-nft -F CNI-FORWARD",
        );
        let invalid = json!({"cniVersion": "1.1.0", "cni.dev/valid-attachments": []});
        let config = if verb == "DEL" { attached.config.clone() } else { changed(&attached.config, invalid) };
        attached.call(node.bin()).verb(verb, &config).map(drop).unwrap();
        assert!(!is_isolated(&node), "{verb}");
    }
}

#[test]
fn check_sees_a_policy_that_is_not_in_force() {
    for (policy, damage, word) in [
        ("same-bridge", "nft flush set inet weir-firewall bridges", "bridges"),
        ("same-bridge", "nft flush set inet weir-firewall same-bridge", "same-bridge"),
        ("same-bridge", "nft flush chain inet weir-firewall forward", "forward"),
        ("isolated", "nft flush set bridge weir-firewall isolated-ports", "isolated-ports"),
        ("isolated", "nft flush chain bridge weir-firewall forward", "isolated-ports"),
    ] {
        let node = Node::new();
        let network = Network::new("br1", 61, json!({"ingressPolicy": policy}));
        let attached = network.attach(&node, node.bin(), "c1");
        attached.call(node.bin()).verb("CHECK", &attached.config).map(drop).unwrap();
        node.look(damage);
        let failure = attached.call(node.bin()).verb("CHECK", &attached.config).unwrap_err();
        super::says(&failure, 999, &[word]);
    }
}
