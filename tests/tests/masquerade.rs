//! `ipMasq`: what leaves the subnet has the node's address.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use serde_json::{Value, json};
use tests::config::{bridge, host_local};
use tests::{Failure, Look, Node, Pod, with_prev_result};

const NODE: &str = "192.0.2.1";
const NODE_V6: &str = "2001:db8::1";
const OUTSIDE: &str = "192.0.2.2";
const OUTSIDE_V6: &str = "2001:db8::2";

fn config() -> Value {
    let ipam = host_local(&["10.244.0.0/24", "fd00:244::/64"]);
    bridge(json!({"isDefaultGateway": true, "ipMasq": true, "ipam": ipam}))
}

/// A host on the other side of the node, which knows no way to the pods.
fn outside(node: &Node) -> Pod {
    let outside = Pod::new("outside");
    node.look(&format!(
        "ip link add up0 type veth peer name up0 netns {netns}; ip link set up0 up; \
         ip addr add {NODE}/24 dev up0; ip addr add {NODE_V6}/64 dev up0 nodad",
        netns = outside.netns()
    ));
    outside.look(&format!(
        "ip link set up0 up; ip addr add {OUTSIDE}/24 dev up0; ip addr add {OUTSIDE_V6}/64 dev up0 nodad"
    ));
    outside
}

/// A UDP socket of the pod.
fn socket(pod: &Pod, address: &str) -> UdpSocket {
    let socket = pod.inside(|| UdpSocket::bind((address, 0)).unwrap());
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket
}

/// Which source a packet of `from` has when it arrives at `address` of `to`; the answer must find its way
/// back.
fn source_seen(from: &Pod, to: &Pod, address: &str) -> SocketAddr {
    let any = if address.contains(':') { "::" } else { "0.0.0.0" };
    let (listener, sender) = (socket(to, address), socket(from, any));
    let (mut buffer, mut source) = ([0; 16], None);
    tests::eventually("a packet and its answer arrive", || {
        sender.send_to(b"there", listener.local_addr().unwrap()).unwrap();
        let Ok((_, from)) = listener.recv_from(&mut buffer) else { return false };
        source = Some(from);
        listener.send_to(b"back", from).unwrap();
        let Ok((length, _)) = sender.recv_from(&mut buffer) else { return false };
        assert_eq!(&buffer[..length], b"back");
        true
    });
    source.unwrap()
}

fn source_ip(from: &Pod, to: &Pod, address: &str) -> String {
    source_seen(from, to, address).ip().to_string()
}

fn check(node: &Node, pod: &Pod, result: &Value) -> Result<Value, Failure> {
    node.call("bridge", pod).verb("CHECK", &with_prev_result(&config(), result))
}

#[test]
fn outside_hosts_see_the_nodes_address_in_both_families() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let outside = outside(&node);
    node.call("bridge", &pod).add(&config());
    assert_eq!(source_ip(&pod, &outside, OUTSIDE), NODE);
    assert_eq!(source_ip(&pod, &outside, OUTSIDE_V6), NODE_V6);
}

#[test]
fn pods_of_a_subnet_see_each_others_addresses() {
    let (node, pod, other) = (Node::new(), Pod::new("c1"), Pod::new("c2"));
    // Even where bridged packets pass the firewall, as kube-proxy and others have it set.
    for pod in [&pod, &other] {
        node.call("bridge", pod).add(&config());
    }
    node.look("sysctl -qe -w net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1");
    assert_eq!(source_ip(&pod, &other, "10.244.0.3"), "10.244.0.2");
    assert_eq!(source_ip(&pod, &other, "fd00:244::3"), "fd00:244::2");
}

#[test]
fn pods_of_other_networks_on_the_node_see_the_nodes_address() {
    let (node, pod, other) = (Node::new(), Pod::new("c1"), Pod::new("c2"));
    node.call("bridge", &pod).add(&config());
    let ipam = host_local(&["10.9.0.0/24"]);
    let elsewhere = json!({"name": "other", "bridge": "cni1", "isDefaultGateway": true, "ipam": ipam});
    node.call("bridge", &other).add(&bridge(elsewhere));
    assert_eq!(source_ip(&pod, &other, "10.9.0.2"), "10.9.0.1");
}

#[test]
fn who_is_not_masqueraded_keeps_its_address() {
    let (node, pod, plain) = (Node::new(), Pod::new("c1"), Pod::new("c2"));
    let outside = outside(&node);
    outside.look(&format!("ip route add 10.244.0.0/24 via {NODE}"));
    node.call("bridge", &pod).add(&config());
    let without = tests::config::changed(&config(), json!({"ipMasq": false}));
    node.call("bridge", &plain).add(&without);
    assert_eq!(source_ip(&plain, &outside, OUTSIDE), "10.244.0.3");
    assert_eq!(source_ip(&pod, &outside, OUTSIDE), NODE);
}

#[test]
fn multicast_is_left_alone() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.call("bridge", &pod).add(&config());
    let table = node.look("nft list table inet weir");
    let masquerading: Vec<_> = table.lines().filter(|line| line.contains("masquerade")).collect();
    assert_eq!(masquerading.len(), 2, "{table}");
    for multicast in ["daddr != 224.0.0.0/4", "daddr != ff00::/8"] {
        assert!(masquerading.iter().any(|rule| rule.contains(multicast)), "{table}");
    }
}

/// The addresses that are masqueraded, from the sets of the table.
fn masqueraded(node: &Node) -> Vec<String> {
    let sets: Value = serde_json::from_str(&node.look("nft -j list ruleset")).unwrap();
    let sets = sets["nftables"].as_array().unwrap().iter().filter_map(|object| object.get("set"));
    let pods = sets.filter(|set| set["name"].as_str().is_some_and(|name| name.starts_with("pods-")));
    let elements = pods.filter_map(|set| set["elem"].as_array()).flatten();
    let address = |element: &Value| element["elem"]["val"].as_str().or(element.as_str()).map(str::to_owned);
    elements.filter_map(address).collect()
}

#[test]
fn del_stops_it_with_and_without_namespace_and_earlier_result() {
    for netns in [true, false] {
        for prev_result in [true, false] {
            let (node, pod) = (Node::new(), Pod::new("c1"));
            let result = node.call("bridge", &pod).add(&config());
            assert_eq!(masqueraded(&node), ["10.244.0.2", "fd00:244::2"]);
            let call = node.call("bridge", &pod);
            let call = if netns { call } else { call.with("CNI_NETNS", "") };
            let config = if prev_result { with_prev_result(&config(), &result) } else { config() };
            for _ in 0..2 {
                call.del(&config);
                assert!(masqueraded(&node).is_empty(), "netns: {netns}, prevResult: {prev_result}");
            }
            assert!(!node.look("nft list ruleset").contains("pods/c1/eth0"));
        }
    }
}

#[test]
fn a_late_del_does_not_take_the_address_of_its_next_owner_away() {
    let (node, first, second) = (Node::new(), Pod::new("c1"), Pod::new("c2"));
    let outside = outside(&node);
    node.call("bridge", &first).add(&config());
    // The address came free without a DEL: a runtime that cleaned up by hand.
    node.look("rm /var/lib/cni/networks/pods/10.244.0.2 /var/lib/cni/networks/pods/fd00:244::2");
    first.look("ip link delete eth0");
    let call = node.call("bridge", &second).with("CNI_ARGS", "IP=10.244.0.2");
    let ipam = tests::config::changed(&config(), json!({"args": {"cni": {"ips": ["fd00:244::2"]}}}));
    let result = call.add(&ipam);
    node.call("bridge", &first).del(&config());
    assert_eq!(masqueraded(&node), ["10.244.0.2", "fd00:244::2"]);
    assert_eq!(source_ip(&second, &outside, OUTSIDE), NODE);
    check(&node, &second, &result).unwrap();
}

#[test]
fn the_number_of_rules_does_not_grow_with_the_pods() {
    let node = Node::new();
    let rules = || node.look("nft -a list table inet weir").matches("# handle").count();
    let pods: Vec<_> = (0..12).map(|number| Pod::new(&format!("c{number}"))).collect();
    node.call("bridge", &pods[0]).add(&config());
    let with_one = rules();
    pods[1..].iter().for_each(|pod| drop(node.call("bridge", pod).add(&config())));
    assert_eq!(masqueraded(&node).len(), 24);
    assert_eq!(rules(), with_one);
}

#[test]
fn check_names_the_missing_part() {
    for (fault, words) in [
        ("nft delete element inet weir pods-10.244.0.0/24 '{ 10.244.0.2 }'", "10.244.0.2 is not masqueraded"),
        (
            "nft delete element inet weir pods-fd00_244__/64 '{ fd00:244::2 }'",
            "fd00:244::2 is not masqueraded",
        ),
        ("nft flush chain inet weir from-10.244.0.0/24", "from-10.244.0.0/24"),
        ("nft flush chain inet weir postrouting", "postrouting"),
        ("nft flush table inet weir", "postrouting"),
        ("nft delete table inet weir", "10.244.0.2 is not masqueraded"),
        ("nft flush ruleset", "10.244.0.2 is not masqueraded"),
    ] {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let result = node.call("bridge", &pod).add(&config());
        check(&node, &pod, &result).unwrap();
        node.look(fault);
        let failure = check(&node, &pod, &result).unwrap_err();
        assert!(failure.message.contains(words), "{fault}: {failure:?}");
        node.call("bridge", &pod).del(&config());
    }
}

#[test]
fn the_next_add_restores_a_flushed_table() {
    let (node, lost, pod) = (Node::new(), Pod::new("c1"), Pod::new("c2"));
    let outside = outside(&node);
    node.call("bridge", &lost).add(&config());
    let after_a_flush = "nft flush table inet weir; nft delete table inet weir";
    for fault in ["nft delete table inet weir", "nft flush ruleset", after_a_flush] {
        node.look(fault);
        let result = node.call("bridge", &pod).add(&config());
        check(&node, &pod, &result).unwrap_or_else(|failure| panic!("after {fault}: {failure:?}"));
        assert_eq!(source_ip(&pod, &outside, OUTSIDE), NODE, "after {fault}");
        node.call("bridge", &pod).del(&config());
    }
}

#[test]
fn a_saved_ruleset_can_be_loaded_again() {
    // Else a node that keeps its rules by `nft list ruleset > /etc/nftables.conf` boots without a firewall.
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.call("bridge", &pod).add(&config());
    node.look("nft list ruleset > /mnt/saved; nft flush ruleset; nft -f /mnt/saved");
    assert_eq!(masqueraded(&node), ["10.244.0.2", "fd00:244::2"]);
}

#[test]
fn tables_of_others_stay_as_they_are() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.look(
        "nft add table ip nat; nft add chain ip nat POSTROUTING '{ type nat hook postrouting priority srcnat; }'; \
         nft add rule ip nat POSTROUTING ip saddr 10.244.0.0/24 return comment theirs",
    );
    let theirs = node.look("nft list table ip nat");
    node.call("bridge", &pod).add(&config());
    node.call("bridge", &pod).del(&config());
    assert_eq!(node.look("nft list table ip nat"), theirs);
}
