//! CHECK finds what no longer is as ADD left it.

use serde_json::{Value, json};
use tests::config::bridge;
use tests::{Look, Node, Pod, with_prev_result};

use crate::host_end;

/// CHECK passes, then `change` is made (HOST and PORT stand for the pod's port and the gateway's), and CHECK fails with
/// these words.
fn finds(keys: Value, change: &str, words: &[&str]) {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let config = bridge(keys);
    let result = node.call("bridge", &pod).add(&config);
    node.call("bridge", &pod).check(&config, &result);
    let host = host_end(&result);
    let port = node.ports("cni0").into_iter().find(|port| *port != host).unwrap_or_default();
    node.look(&change.replace("HOST", &host).replace("PORT", &port));
    let failure = node.call("bridge", &pod).verb("CHECK", &with_prev_result(&config, &result)).unwrap_err();
    for word in words {
        let word = word.replace("HOST", &host).replace("PORT", &port);
        assert!(failure.message.contains(&word), "want {word:?}: {failure:?}");
    }
}

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn check_finds_a_vlan_that_is_missing_or_tagged_otherwise() {
    let access = || json!({"vlan": 100});
    let trunk = || json!({"vlanTrunk": [{"minID": 200, "maxID": 210}]});
    finds(access(), "bridge vlan del dev HOST vid 100", &["\"HOST\"", "VLAN 100", "without a tag"]);
    finds(access(), "bridge vlan add dev HOST vid 100", &["\"HOST\"", "VLAN 100", "without a tag"]);
    finds(access(), "bridge vlan add dev HOST vid 7 pvid", &["\"HOST\"", "VLAN 100", "without a tag"]);
    finds(trunk(), "bridge vlan del dev HOST vid 205", &["\"HOST\"", "VLAN 200-210", "with a tag"]);
    finds(trunk(), "bridge vlan del dev HOST vid 1", &["\"HOST\"", "VLAN 1 ", "without a tag"]);
}

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn a_bridge_that_does_not_filter_any_more_is_found() {
    finds(
        json!({"vlan": 100}),
        "ip link set cni0 type bridge vlan_filtering 0",
        &["\"cni0\"", "vlan_filtering"],
    );
}

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn check_finds_a_gateway_that_is_missing_down_or_elsewhere() {
    let gateway = || json!({"vlan": 100, "isGateway": true});
    finds(gateway(), "ip link delete cni0.100", &["\"cni0.100\""]);
    finds(gateway(), "ip link set cni0.100 down", &["\"cni0.100\"", "down"]);
    finds(gateway(), "ip addr flush dev cni0.100", &["10.244.0.1/24", "\"cni0.100\""]);
    finds(gateway(), "ip link set PORT nomaster", &["\"cni0.100\"", "\"cni0\""]);
    finds(gateway(), "bridge vlan del dev PORT vid 100", &["\"PORT\"", "VLAN 100"]);
}

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn vlans_that_an_administrator_added_are_accepted() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let config = bridge(json!({"vlan": 100}));
    let result = node.call("bridge", &pod).add(&config);
    node.look(&format!("bridge vlan add dev {} vid 300-310", host_end(&result)));
    node.call("bridge", &pod).check(&config, &result);
}
