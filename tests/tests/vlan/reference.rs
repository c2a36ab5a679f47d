//! The Go plugin before and after ours, in one VLAN.

use std::path::Path;

use serde_json::{Value, json};
use tests::config::bridge;
use tests::{Look, Node, Pod, REFERENCE};

use crate::{host_end, vlans};

/// The reference's 1.1.1, which Debian has, always preserves the default VLAN.
fn network() -> Value {
    bridge(json!({"vlan": 100, "isDefaultGateway": true, "preserveDefaultVlan": true}))
}

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn weir_takes_over_the_references_gateway_and_checks_and_detaches_its_pods() {
    let (node, pods) = (Node::new(), ["c1", "c2"].map(Pod::new));
    let config = network();
    let reference = node.call_in(Path::new(REFERENCE), "bridge", &pods[0]);
    let result = reference.add(&config);
    assert_eq!(result["interfaces"][3]["name"], "cni0.100");
    let gateway = node.link("cni0.100");
    assert!(gateway.get("ifalias").is_none());

    let ours = node.call("bridge", &pods[1]).add(&config);
    assert_eq!(vlans(&node, &host_end(&result)), vlans(&node, &host_end(&ours)));
    assert_eq!(node.link("cni0.100")["address"], gateway["address"]);
    assert_eq!(node.link("cni0.100")["ifalias"], "weir gateway bridge=cni0 vlan=100 network=pods");
    assert!(pods[0].reaches("10.244.0.3", 56) && pods[1].reaches("10.244.0.1", 56));

    node.call("bridge", &pods[0]).check(&config, &result);
    // Newer ones remove the default VLAN, as ours does: that one of their port may be an older one's.
    node.call("bridge", &pods[0]).check(&bridge(json!({"vlan": 100, "isDefaultGateway": true})), &result);
    node.call("bridge", &pods[0]).del(&config);
    assert_eq!(node.ports("cni0").len(), 2);
}

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn the_reference_uses_weirs_gateway_and_detaches_weirs_pods() {
    let (node, pods) = (Node::new(), ["c1", "c2"].map(Pod::new));
    let config = network();
    node.call("bridge", &pods[0]).add(&config);
    node.call_in(Path::new(REFERENCE), "bridge", &pods[1]).add(&config);
    assert!(pods[1].reaches("10.244.0.2", 56) && pods[1].reaches("10.244.0.1", 56));
    node.call_in(Path::new(REFERENCE), "bridge", &pods[0]).del(&config);
    assert_eq!(node.ports("cni0").len(), 2);
}
