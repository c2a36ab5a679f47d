//! CHECK finds what is missing, and nothing else.

use serde_json::{Value, json};
use tests::config::{bridge, changed, host_local};
use tests::{Call, Look, Node, Pod, with_prev_result};

/// An attachment with a gateway and a default route, and ADD's result.
struct Attached {
    node: Node,
    pod: Pod,
    config: Value,
    result: Value,
}

impl Attached {
    fn new() -> Self {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let mut ipam = host_local(&["10.244.0.0/24", "fd00:244::/64"]);
        ipam["routes"] = json!([{"dst": "192.0.2.0/24"}]);
        let config = bridge(json!({"isDefaultGateway": true, "ipam": ipam}));
        let result = node.call("bridge", &pod).add(&config);
        Self { node, pod, config, result }
    }

    fn call(&self) -> Call {
        self.node.call("bridge", &self.pod)
    }

    fn veth(&self) -> String {
        self.node.ports("cni0").remove(0)
    }

    /// CHECK fails with a sentence that has these words.
    fn is_faulty(&self, words: &[&str]) {
        let failure = self.call().verb("CHECK", &with_prev_result(&self.config, &self.result)).unwrap_err();
        for word in words {
            assert!(failure.message.contains(word), "want {word:?}: {failure:?}");
        }
    }
}

#[test]
fn check_accepts_the_result_of_add() {
    let attached = Attached::new();
    attached.call().check(&attached.config, &attached.result);
}

#[test]
fn a_deleted_bridge_is_found() {
    let attached = Attached::new();
    attached.node.look("ip link delete cni0");
    attached.is_faulty(&["bridge \"cni0\""]);
}

#[test]
fn something_else_by_the_bridges_name_is_found() {
    let attached = Attached::new();
    attached.node.look("ip link delete cni0; ip link add cni0 up type ifb");
    attached.is_faulty(&["\"cni0\"", "not a bridge", "ifb"]);
}

#[test]
fn a_host_end_that_was_moved_to_another_namespace_is_found() {
    let (attached, other) = (Attached::new(), Pod::new("other"));
    let veth = attached.veth();
    attached.node.look(&format!("ip link set {veth} netns {}", other.netns()));
    attached.is_faulty(&["\"eth0\"", "bridge \"cni0\""]);
}

#[test]
fn a_pair_that_ends_elsewhere_is_not_taken_for_another_pods() {
    // The index of eth0's other end is that of another pod's port, but in another namespace.
    let (attached, neighbour, elsewhere) = (Attached::new(), Pod::new("c2"), Pod::new("elsewhere"));
    attached.node.call("bridge", &neighbour).add(&attached.config);
    let port = neighbour.link("eth0")["link_index"].clone();
    let eth0 = attached.pod.link("eth0");
    attached.pod.look(&format!(
        "ip link delete eth0; ip link add eth0 index {} address {} type veth peer index {port} name far netns {}; \
         ip link set eth0 up",
        eth0["ifindex"],
        eth0["address"].as_str().unwrap(),
        elsewhere.netns(),
    ));
    elsewhere.look("ip link set far up");
    attached.is_faulty(&["host's end", "\"eth0\"", "bridge \"cni0\""]);
}

#[test]
fn check_finds_a_host_end_that_left_the_bridge() {
    let attached = Attached::new();
    attached.node.look(&format!("ip link set {} nomaster", attached.veth()));
    attached.is_faulty(&["\"eth0\"", "bridge \"cni0\""]);
}

#[test]
fn a_host_end_or_a_bridge_that_is_down_is_found() {
    let attached = Attached::new();
    let veth = attached.veth();
    attached.node.look(&format!("ip link set {veth} down"));
    attached.is_faulty(&[&veth, "down"]);
    attached.node.look(&format!("ip link set {veth} up; ip link set cni0 down"));
    attached.is_faulty(&["cni0", "down"]);
}

#[test]
fn a_host_end_in_another_bridge_is_found() {
    let attached = Attached::new();
    attached
        .node
        .look(&format!("ip link add other type bridge; ip link set {} master other", attached.veth()));
    attached.is_faulty(&["\"eth0\"", "bridge \"cni0\""]);
}

#[test]
fn a_removed_address_is_found_in_both_families() {
    for address in ["10.244.0.2/24", "fd00:244::2/64"] {
        let attached = Attached::new();
        attached.pod.look(&format!("ip addr delete {address} dev eth0"));
        attached.is_faulty(&[address, "\"eth0\"", &attached.pod.netns()]);
    }
}

#[test]
fn a_removed_route_is_found_in_both_families() {
    for (delete, words) in [
        ("ip route delete default", ["0.0.0.0/0", "10.244.0.1"]),
        ("ip -6 route delete default", ["::/0", "fd00:244::1"]),
        ("ip route delete 192.0.2.0/24", ["route", "192.0.2.0/24"]),
    ] {
        let attached = Attached::new();
        attached.pod.look(delete);
        attached.is_faulty(&words);
    }
}

#[test]
fn a_default_route_that_a_vpn_replaced_is_tolerated() {
    let attached = Attached::new();
    attached.pod.look(
        "ip link add tun0 up type bridge; ip addr add 10.8.0.2/24 dev tun0; ip addr add fd00:8::2/64 dev tun0 nodad; \
         ip route replace default via 10.8.0.1; ip -6 route delete default; ip -6 route add default via fd00:8::1",
    );
    attached.call().check(&attached.config, &attached.result);
}

#[test]
fn an_ipv6_route_with_several_next_hops_is_seen_with_each() {
    let attached = Attached::new();
    let mut config = attached.config.clone();
    config["ipam"]["routes"] = json!([
        {"dst": "fd00:9::/64", "gw": "fd00:244::8"},
        {"dst": "fd00:9::/64", "gw": "fd00:244::9"},
    ]);
    let pod = Pod::new("c2");
    let call = attached.node.call("bridge", &pod);
    let result = call.add(&config);
    assert!(pod.look("ip -6 route show fd00:9::/64").contains("nexthop via fd00:244::9"));
    call.check(&config, &result);
    pod.look("ip -6 route replace fd00:9::/64 nexthop via fd00:244::8 dev eth0");
    let failure = call.verb("CHECK", &with_prev_result(&config, &result)).unwrap_err();
    assert!(failure.message.contains("fd00:9::/64 via fd00:244::9"), "{failure:?}");
}

#[test]
fn a_setting_of_the_port_or_the_bridge_that_is_off_is_found() {
    for (key, off) in [
        ("hairpinMode", "ip link set VETH type bridge_slave hairpin off"),
        ("portIsolation", "ip link set VETH type bridge_slave isolated off"),
        ("promiscMode", "ip link set cni0 promisc off"),
    ] {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let config = bridge(json!({key: true}));
        let call = node.call("bridge", &pod);
        let result = call.add(&config);
        call.check(&config, &result);
        node.look(&off.replace("VETH", &node.ports("cni0")[0]));
        let failure = call.verb("CHECK", &with_prev_result(&config, &result)).unwrap_err();
        assert!(failure.message.contains(key), "{failure:?}");
        // An administrator may have set a flag that the config does not ask for.
        call.check(&bridge(json!({})), &result);
    }
}

#[test]
fn an_interface_that_is_down_is_found() {
    let attached = Attached::new();
    attached.pod.look("ip link set eth0 down");
    attached.is_faulty(&["\"eth0\"", "down"]);
}

#[test]
fn check_finds_a_missing_interface() {
    let attached = Attached::new();
    attached.pod.look("ip link delete eth0");
    attached.is_faulty(&["\"eth0\"", &attached.pod.netns()]);
}

#[test]
fn an_interface_of_another_kind_is_found() {
    let attached = Attached::new();
    attached.pod.look("ip link delete eth0; ip link add eth0 type ifb");
    attached.is_faulty(&["\"eth0\"", "veth"]);
}

#[test]
fn another_hardware_address_is_found() {
    let attached = Attached::new();
    attached.pod.look("ip link set eth0 address 02:00:00:00:00:99");
    attached.is_faulty(&["02:00:00:00:00:99", attached.result["interfaces"][2]["mac"].as_str().unwrap()]);
}

#[test]
fn check_finds_a_missing_gateway_address() {
    for address in ["10.244.0.1/24", "fd00:244::1/64"] {
        let attached = Attached::new();
        attached.node.look(&format!("ip addr delete {address} dev cni0"));
        attached.is_faulty(&[address, "\"cni0\""]);
    }
}

#[test]
fn check_finds_a_missing_reservation() {
    let attached = Attached::new();
    attached.node.look("rm /var/lib/cni/networks/pods/10.244.0.2 /var/lib/cni/networks/pods/fd00:244::2");
    attached.is_faulty(&["c1"]);
}

#[test]
fn a_missing_namespace_is_named() {
    let attached = Attached::new();
    let call = attached.call().with("CNI_NETNS", "/run/netns/gone");
    let failure = call.verb("CHECK", &with_prev_result(&attached.config, &attached.result)).unwrap_err();
    assert!(
        failure.message.contains("CNI_NETNS") && failure.message.contains("/run/netns/gone"),
        "{failure:?}"
    );
}

#[test]
fn check_accepts_additions_of_later_plugins() {
    let attached = Attached::new();
    attached.pod.look(
        "ip link set eth0 mtu 1400; ip addr add 10.244.0.99/24 dev eth0; ip addr add fd00:99::1/64 dev eth0 nodad; \
         ip route add 203.0.113.0/24 via 10.244.0.1; ip route add 0.0.0.0/0 via 10.244.0.1 table 100",
    );
    attached
        .node
        .look(&format!("ip link set {} mtu 1400; ip addr add 10.9.0.1/24 dev cni0", attached.veth()));
    attached.call().check(&attached.config, &attached.result);
}

#[test]
fn check_accepts_a_host_end_with_another_alias_name_and_address() {
    for alias in ["''", "'port 7'"] {
        let attached = Attached::new();
        let veth = attached.veth();
        attached.node.look(&format!(
            "ip link set {veth} alias {alias}; ip link set {veth} address 02:00:00:00:00:98; \
             ip link set {veth} down; ip link set {veth} name port7 up"
        ));
        attached.call().check(&attached.config, &attached.result);
    }
}

#[test]
fn a_hardware_address_that_a_later_plugin_changed_and_reported_is_tolerated() {
    let attached = Attached::new();
    attached.pod.look("ip link set eth0 address 02:00:00:00:00:99");
    let mut result = attached.result.clone();
    result["interfaces"][2]["mac"] = json!("02:00:00:00:00:99");
    attached.call().check(&attached.config, &result);
}

#[test]
fn check_without_the_result_is_refused() {
    let attached = Attached::new();
    let failure = attached.call().verb("CHECK", &changed(&attached.config, json!({}))).unwrap_err();
    assert!(failure.message.contains("prevResult"), "{failure:?}");
}
