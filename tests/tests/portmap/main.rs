//! The plugin `portmap`: ports of the host that lead to a pod, whose they are, and that traffic takes them.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

mod check;
mod conflist;
mod conntrack;
mod cost;
mod invalid;
mod ownership;
mod reference;
mod removal;
mod sctp;
mod service;
mod sources;
mod traffic;

use std::path::Path;

use serde_json::{Value, json};
use tests::config::{bridge, changed, host_local};
use tests::{Call, Failure, Look, Node, Pod, with_prev_result};

const NODE: &str = "192.0.2.1";
const NODE_V6: &str = "2001:db8::1";
const OUTSIDE: &str = "192.0.2.2";
const OUTSIDE_V6: &str = "2001:db8::2";
const GATEWAY: &str = "10.244.0.1";
const TABLE: &str = "inet weir-portmap";

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

/// Pods of both families behind a bridge, as most networks have them.
fn network() -> Value {
    let mut ipam = host_local(&["10.244.0.0/24", "fd00:244::/64"]);
    ipam["routes"] = json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]);
    bridge(json!({"isGateway": true, "ipMasq": true, "hairpinMode": true, "ipam": ipam}))
}

/// A config of network `pods` with these keys and mappings.
fn config(mappings: Value, keys: Value) -> Value {
    let base = json!({
        "cniVersion": "1.0.0", "name": "pods", "type": "portmap", "capabilities": {"portMappings": true},
        "runtimeConfig": {"portMappings": mappings},
    });
    changed(&base, keys)
}

fn mapping(protocol: &str, host_port: u16, container_port: u16) -> Value {
    json!({"hostPort": host_port, "containerPort": container_port, "protocol": protocol})
}

fn with_host_ip(host_ip: &str, mapping: &Value) -> Value {
    changed(mapping, json!({ "hostIP": host_ip }))
}

/// A pod behind the bridge, without ports.
fn attached(node: &Node, id: &str) -> (Pod, Value) {
    let pod = Pod::new(id);
    let result = node.call("bridge", &pod).add(&network());
    (pod, result)
}

/// A call of the plugin in `folder`. The reference's executes `iptables`.
fn call_in(node: &Node, folder: &Path, pod: &Pod) -> Call {
    node.call_in(folder, "portmap", pod).with("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
}

/// ADD of a plugin in `folder` behind the bridge.
fn forward_in(
    node: &Node,
    folder: &Path,
    pod: &Pod,
    config: &Value,
    result: &Value,
) -> Result<Value, Failure> {
    call_in(node, folder, pod).verb("ADD", &with_prev_result(config, result))
}

fn forward(node: &Node, pod: &Pod, config: &Value, result: &Value) -> Result<Value, Failure> {
    forward_in(node, node.bin(), pod, config, result)
}

/// A pod with these ports.
fn with_ports(node: &Node, id: &str, mappings: Value) -> (Pod, Value) {
    let (pod, result) = attached(node, id);
    forward(node, &pod, &config(mappings, json!({})), &result).unwrap();
    (pod, result)
}

/// How many elements the table has, all maps and sets together.
fn elements(node: &Node) -> usize {
    let table = node.look(&format!("nft -j list table {TABLE} 2> /dev/null || echo '{{\"nftables\": []}}'"));
    let table: Value = serde_json::from_str(&table).unwrap();
    let objects = table["nftables"].as_array().unwrap().iter();
    let sets =
        objects.flat_map(|object| [object["set"]["elem"].as_array(), object["map"]["elem"].as_array()]);
    sets.flatten().map(Vec::len).sum()
}

/// The rules of the table, without their handles.
fn rules(node: &Node) -> Vec<String> {
    let text = node.look(&format!("nft list table {TABLE}"));
    text.lines()
        .filter(|line| line.contains(" comment \"") && !line.contains("type ") && !line.contains("0x"))
        .map(str::to_owned)
        .collect()
}

/// The failure is one sentence with these words.
fn says(failure: &Failure, code: u64, words: &[&str]) {
    assert_eq!(failure.code, code, "{failure:?}");
    for word in words {
        assert!(failure.message.contains(word), "want {word:?}: {failure:?}");
    }
    assert!(!failure.message.contains('\n') && failure.message.len() < 300, "{failure:?}");
}
