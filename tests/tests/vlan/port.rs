//! The VLANs of a pod's port, and which pods reach each other.

use serde_json::json;
use tests::config::bridge;
use tests::{Look, Node, Pod};

use crate::{address, filters, host_end, vlans};

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn a_port_carries_its_vlan_and_no_other() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let config = bridge(json!({"vlan": 100}));
    let result = node.call("bridge", &pod).add(&config);
    assert!(filters(&node, "cni0"));
    assert_eq!(vlans(&node, &host_end(&result)), "100*");
    assert_eq!(result["interfaces"].as_array().unwrap().len(), 3);
    node.call("bridge", &pod).check(&config, &result);
    node.call("bridge", &pod).del(&config);
    assert!(node.ports("cni0").is_empty());
}

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn the_default_vlan_stays_when_it_is_to_be_preserved() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let result = node.call("bridge", &pod).add(&bridge(json!({"vlan": 100, "preserveDefaultVlan": true})));
    assert_eq!(vlans(&node, &host_end(&result)), "1- 100*");
}

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn the_default_vlan_is_removed_whatever_its_number() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.look("ip link add cni0 type bridge vlan_filtering 1 vlan_default_pvid 7");
    let result = node.call("bridge", &pod).add(&bridge(json!({"vlan": 100})));
    assert_eq!(vlans(&node, &host_end(&result)), "100*");
}

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn a_trunk_carries_the_vlans_of_its_entries() {
    let trunk = json!([{"minID": 200, "maxID": 210}, {"id": 205}, {"minID": 211, "maxID": 220, "id": 300}, {"id": 4094}]);
    for (keys, carried) in [
        (json!({"vlanTrunk": trunk}), "1* 200..220 300 4094"),
        (json!({"vlanTrunk": trunk, "preserveDefaultVlan": true}), "1* 200..220 300 4094"),
        (json!({"vlanTrunk": trunk, "vlan": 100}), "100* 200..220 300 4094"),
        (json!({"vlanTrunk": trunk, "vlan": 210}), "200..209 210* 211..220 300 4094"),
        (json!({"vlanTrunk": [{"minID": 1, "maxID": 4094}]}), "1..4094"),
    ] {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let config = bridge(keys);
        let result = node.call("bridge", &pod).add(&config);
        assert_eq!(vlans(&node, &host_end(&result)), carried, "{config}");
        node.call("bridge", &pod).check(&config, &result);
    }
}

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn every_other_vlan_fits_into_one_trunk() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let trunk: Vec<_> = (2..=4094).step_by(2).map(|id| json!({"id": id})).collect();
    let config = bridge(json!({"vlanTrunk": trunk}));
    let result = node.call("bridge", &pod).add(&config);
    assert_eq!(vlans(&node, &host_end(&result)).split(' ').count(), 1 + trunk.len());
    node.call("bridge", &pod).check(&config, &result);
}

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn pods_reach_each_other_within_their_vlan_and_by_a_trunk() {
    let node = Node::new();
    let add = |id: &str, keys| {
        let pod = Pod::new(id);
        let mut config = bridge(keys);
        config["ipam"] = json!({});
        node.call("bridge", &pod).add(&config);
        pod
    };
    let (one, other) = (add("c1", json!({"vlan": 100})), add("c2", json!({"vlan": 100})));
    let (foreign, plain) = (add("c3", json!({"vlan": 200})), add("c4", json!({})));
    let trunk = add("c5", json!({"vlanTrunk": [{"id": 100}]}));
    for (pod, number) in [&one, &other, &foreign, &plain].into_iter().zip(1..) {
        address(pod, &format!("10.9.0.{number}/24"));
    }
    trunk.look(
        "ip link add eth0.100 link eth0 up type vlan id 100; ip addr add 10.9.0.5/24 dev eth0.100; \
         ip addr add 10.8.0.5/24 dev eth0",
    );
    address(&plain, "10.8.0.4/24");
    assert!(one.reaches("10.9.0.2", 56) && other.reaches("10.9.0.5", 56) && trunk.reaches("10.9.0.1", 56));
    assert!(trunk.reaches("10.8.0.4", 56));
    for unreachable in ["10.9.0.3", "10.9.0.4"] {
        assert!(one.misses(unreachable) && trunk.misses(unreachable), "{unreachable}");
    }
    assert!(foreign.misses("10.9.0.4"));
}

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn a_bridge_that_did_not_filter_does_so_from_then_on_and_its_pods_stay_connected() {
    let node = Node::new();
    let pods = ["c1", "c2", "c3"].map(Pod::new);
    let plain = bridge(json!({"isGateway": true}));
    for pod in &pods[..2] {
        node.call("bridge", pod).add(&plain);
    }
    assert!(!filters(&node, "cni0"));
    let config = bridge(json!({"vlan": 100}));
    let output = node.call("bridge", &pods[2]).raw("ADD", &config.to_string());
    assert!(output.status.success());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("\"cni0\"") && told.contains("VLANs"), "{told}");
    assert!(filters(&node, "cni0"));
    assert!(pods[0].reaches("10.244.0.1", 56) && pods[0].reaches("10.244.0.3", 56));
    assert!(pods[2].misses("10.244.0.3"));
    let output = node.call("bridge", &Pod::new("c4")).raw("ADD", &config.to_string());
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
