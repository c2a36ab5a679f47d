//! The gateway's interface in a VLAN.

use std::time::Duration;

use serde_json::{Value, json};
use tests::config::{bridge, host_local};
use tests::{Look, Node, Pod, Running};

use crate::vlans;

/// A network with a gateway in `vlan`, on `cni0`.
fn network(vlan: u16, subnets: &[&str]) -> Value {
    bridge(json!({
        "name": format!("net{vlan}"), "vlan": vlan, "isDefaultGateway": true, "ipam": host_local(subnets),
    }))
}

/// The bridge's port behind an interface of the host.
fn port(node: &Node, interface: &str) -> String {
    let index = node.link(interface)["link_index"].as_u64();
    let named = node.link(interface)["link"].as_str().map(str::to_owned);
    named.unwrap_or_else(|| panic!("{interface} leads to link {index:?}"))
}

fn mac(node: &Node, interface: &str) -> String {
    node.link(interface)["address"].as_str().unwrap().to_owned()
}

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn the_gateways_addresses_are_on_an_interface_in_the_vlan_and_the_result_names_it() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let config = network(100, &["10.1.0.0/24", "fd00:1::/64"]);
    let result = node.call("bridge", &pod).add(&config);
    assert_eq!(node.addresses("cni0.100"), ["10.1.0.1/24", "fd00:1::1/64"]);
    assert!(node.addresses("cni0").is_empty());
    let named = &result["interfaces"][3];
    assert_eq!(named["name"], "cni0.100");
    assert_eq!(named["mac"], mac(&node, "cni0.100").as_str());
    assert!(named.get("sandbox").is_none_or(|sandbox| sandbox == ""));
    assert_eq!(result["ips"][0]["interface"], 2);
    assert_eq!(vlans(&node, &port(&node, "cni0.100")), "100*");
    assert!(pod.reaches("10.1.0.1", 1400) && pod.reaches("fd00:1::1", 56));
    assert_eq!(node.sysctl("net/ipv6/conf/cni0.100/accept_ra"), "0");
    node.call("bridge", &pod).check(&config, &result);
}

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn both_ends_say_which_network_and_bridge_they_belong_to() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.call("bridge", &pod).add(&network(100, &["10.1.0.0/24"]));
    for link in ["cni0.100", &port(&node, "cni0.100")] {
        assert_eq!(node.link(link)["ifalias"], "weir gateway bridge=cni0 vlan=100 network=net100");
    }
}

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn it_stays_with_its_mac_when_pods_come_and_go_and_gc_leaves_it_alone() {
    let node = Node::new();
    let config = network(100, &["10.1.0.0/24"]);
    let pods = ["c1", "c2", "c3"].map(Pod::new);
    node.call("bridge", &pods[0]).add(&config);
    let (first, first_port) = (mac(&node, "cni0.100"), port(&node, "cni0.100"));
    for pod in &pods[1..] {
        node.call("bridge", pod).add(&config);
    }
    for pod in &pods {
        node.call("bridge", pod).del(&config);
        node.call("bridge", pod).del(&config);
    }
    let mut gc = config.clone();
    gc["cniVersion"] = json!("1.1.0");
    gc["cni.dev/valid-attachments"] = json!([]);
    node.call("bridge", &pods[0]).verb("GC", &gc).unwrap();
    assert_eq!(node.ports("cni0"), [first_port]);
    assert_eq!(mac(&node, "cni0.100"), first);
    node.call("bridge", &pods[0]).add(&config);
    assert_eq!(mac(&node, "cni0.100"), first);
    assert!(pods[0].reaches("10.1.0.1", 56));
}

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn two_vlans_of_a_bridge_have_their_own_gateways_and_meet_only_there() {
    let node = Node::new();
    let (one, other) = (Pod::new("c1"), Pod::new("c2"));
    node.call("bridge", &one).add(&network(100, &["10.1.0.0/24"]));
    node.call("bridge", &other).add(&network(200, &["10.2.0.0/24"]));
    assert_eq!(node.addresses("cni0.200"), ["10.2.0.1/24"]);
    assert!(one.reaches("10.2.0.2", 56), "by the host");
    node.look("echo 0 > /proc/sys/net/ipv4/ip_forward");
    assert!(one.misses("10.2.0.2") && one.reaches("10.1.0.1", 56));
    one.look("ip addr add 10.2.0.9/24 dev eth0");
    assert!(one.misses("10.2.0.2"), "not as a neighbour");
}

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn twelve_adds_at_once_make_one_gateway() {
    let node = Node::new();
    let config = network(100, &["10.1.0.0/24", "fd00:1::/64"]);
    let pods: Vec<_> = (0..12).map(|number| Pod::new(&format!("c{number}"))).collect();
    let running: Vec<Running> =
        pods.iter().map(|pod| node.call("bridge", pod).start("ADD", &config)).collect();
    let results: Vec<_> = running.into_iter().map(|running| running.answer().unwrap()).collect();
    assert_eq!(node.ports("cni0").len(), pods.len() + 1);
    let named: Vec<_> = results.iter().map(|result| &result["interfaces"][3]["mac"]).collect();
    assert!(named.iter().all(|found| **found == mac(&node, "cni0.100").as_str()), "{named:?}");
    for (pod, result) in pods.iter().zip(&results) {
        node.call("bridge", pod).check(&config, result);
        assert!(pod.reaches("10.1.0.1", 56) && pod.reaches("fd00:1::1", 56));
    }
}

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn one_that_a_killed_add_left_half_made_is_completed() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.look(
        "ip link add cni0 up type bridge vlan_filtering 1; \
         ip link add vethleft master cni0 up type veth peer name cni0.100",
    );
    let first = mac(&node, "cni0.100");
    node.call("bridge", &pod).add(&network(100, &["10.1.0.0/24"]));
    assert_eq!(vlans(&node, "vethleft"), "100*");
    assert_eq!(mac(&node, "cni0.100"), first);
    assert!(pod.reaches("10.1.0.1", 56));
}

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn a_deleted_bridge_is_created_again_with_its_gateway() {
    let (node, pods) = (Node::new(), ["c1", "c2"].map(Pod::new));
    let config = network(100, &["10.1.0.0/24"]);
    node.call("bridge", &pods[0]).add(&config);
    node.look("ip link delete cni0");
    let result = node.call("bridge", &pods[1]).add(&config);
    assert_eq!(node.ports("cni0").len(), 2);
    assert_eq!(node.addresses("cni0.100"), ["10.1.0.1/24"]);
    assert!(pods[1].reaches("10.1.0.1", 56));
    node.call("bridge", &pods[1]).check(&config, &result);
    // The first pod's pair is not a port, and there is no gateway yet.
    assert_eq!(node.ip("link show type veth").len(), 4);
}

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn an_administrators_8021q_device_is_taken_as_it_is() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.look(
        "ip link add cni0 up type bridge vlan_filtering 1; bridge vlan add dev cni0 vid 100 self; \
         ip link add cni0.100 link cni0 up type vlan id 100",
    );
    let config = network(100, &["10.1.0.0/24"]);
    let result = node.call("bridge", &pod).add(&config);
    assert_eq!(node.addresses("cni0.100"), ["10.1.0.1/24"]);
    assert_eq!(node.ports("cni0").len(), 1);
    assert!(pod.reaches("10.1.0.1", 56));
    node.call("bridge", &pod).check(&config, &result);
}

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn a_name_that_is_taken_by_something_else_is_an_error_and_nothing_remains() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.look("ip link add cni0 up type bridge vlan_filtering 1");
    for (taken, kind) in [("type ifb", "ifb"), ("type veth peer name other", "veth")] {
        node.look(&format!("ip link add cni0.100 {taken}"));
        let before = node.fingerprint();
        let failure = node.call("bridge", &pod).verb("ADD", &network(100, &["10.1.0.0/24"])).unwrap_err();
        for word in ["\"cni0.100\"", "VLAN 100", "\"cni0\"", kind] {
            assert!(failure.message.contains(word), "want {word:?}: {failure:?}");
        }
        assert_eq!(node.fingerprint(), before);
        node.look("ip link delete cni0.100");
    }
}

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn another_address_of_it_is_an_error_unless_it_may_be_replaced() {
    let (node, pods) = (Node::new(), ["c1", "c2"].map(Pod::new));
    node.call("bridge", &pods[0]).add(&network(100, &["10.1.0.0/24"]));
    let mut config = network(100, &["10.7.0.0/24"]);
    config["name"] = json!("other");
    let failure = node.call("bridge", &pods[1]).verb("ADD", &config).unwrap_err();
    for word in ["\"cni0.100\"", "10.7.0.1/24", "10.1.0.1/24", "forceAddress"] {
        assert!(failure.message.contains(word), "want {word:?}: {failure:?}");
    }
    config["forceAddress"] = json!(true);
    node.call("bridge", &pods[1]).add(&config);
    assert_eq!(node.addresses("cni0.100"), ["10.7.0.1/24"]);
}

#[test]
#[ignore = "needs CONFIG_BRIDGE_VLAN_FILTERING: scripts/test-vlan"]
fn adds_that_are_killed_at_any_moment_leave_a_gateway_that_the_next_one_completes() {
    let config = network(100, &["10.1.0.0/24"]);
    let mut killed = 0;
    for milliseconds in 0..16 {
        let (node, pods) = (Node::new(), ["c1", "c2"].map(Pod::new));
        let running = node.call("bridge", &pods[0]).start("ADD", &config);
        std::thread::sleep(Duration::from_millis(4 * milliseconds));
        killed += u32::from(running.kill());
        node.call("bridge", &pods[0]).del(&config);
        let result = node.call("bridge", &pods[1]).add(&config);
        node.call("bridge", &pods[1]).check(&config, &result);
        assert_eq!(node.link("cni0.100")["ifalias"], "weir gateway bridge=cni0 vlan=100 network=net100");
        assert_eq!(vlans(&node, &port(&node, "cni0.100")), "100*");
        assert_eq!(node.ports("cni0").len(), 2);
        assert!(pods[1].reaches("10.1.0.1", 56));
    }
    assert!(killed > 0, "every ADD had ended before it was killed");
}
