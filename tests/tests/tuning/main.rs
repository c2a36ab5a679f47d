//! The plugin `tuning`: properties of the pod's interface, kernel parameters of its namespace, and the record by which
//! DEL restores both.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

mod check;
mod invalid;
mod records;
mod reference;
mod setting;
mod sysctls;

use std::path::Path;

use serde_json::{Value, json};
use tests::config::changed;
use tests::{Call, Failure, Look, Node, Pod};

/// Where the reference keeps its records.
const RECORDS: &str = "/run/cni/tuning";
const RECORD: &str = "/run/cni/tuning/c1_eth0.json";

/// The hardware address of the pod's interface before anything is tuned.
const BEFORE: &str = "02:00:00:00:00:01";
const TUNED: &str = "02:00:00:00:00:05";

/// A pod with an interface `eth0` of another plugin's.
fn pod(id: &str) -> Pod {
    let pod = Pod::new(id);
    pod.shell(&format!("ip link add eth0 address {BEFORE} type veth peer name peer0"));
    pod
}

fn result(pod: &Pod) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "interfaces": [
            {"name": "cni0", "mac": "02:00:00:00:00:09"},
            {"name": "eth0", "mac": BEFORE, "sandbox": pod.netns()},
        ],
        "ips": [{"address": "10.1.2.7/24", "gateway": "10.1.2.1", "interface": 1}],
        "dns": {},
    })
}

/// A config of network `pods` with these keys, behind the plugin that made the pod's interface.
fn config(pod: &Pod, keys: Value) -> Value {
    let base = json!({"cniVersion": "1.0.0", "name": "pods", "type": "tuning", "prevResult": result(pod)});
    changed(&base, keys)
}

/// Everything that the plugin sets.
fn everything() -> Value {
    json!({
        "mac": TUNED, "mtu": 1400, "promisc": true, "allmulti": true, "txQLen": 500,
        "sysctl": {"net.core.somaxconn": "500", "net.ipv4.conf.IFNAME.rp_filter": "2"},
    })
}

/// What the pod shows of everything that [`everything`] sets.
fn shown(pod: &Pod) -> Value {
    let link = pod.link("eth0");
    let has = |flag: &str| link["flags"].as_array().unwrap().iter().any(|shown| shown == flag);
    json!({
        "mac": link["address"], "mtu": link["mtu"], "promisc": has("PROMISC"), "allmulti": has("ALLMULTI"),
        "txQLen": link["txqlen"].as_u64().unwrap_or(0), "somaxconn": pod.sysctl("net/core/somaxconn"),
        "rp_filter": pod.sysctl("net/ipv4/conf/eth0/rp_filter"),
    })
}

/// What [`shown`] is after an ADD with [`everything`].
fn tuned() -> Value {
    json!({
        "mac": TUNED, "mtu": 1400, "promisc": true, "allmulti": true, "txQLen": 500, "somaxconn": "500",
        "rp_filter": "2",
    })
}

fn call(node: &Node, pod: &Pod) -> Call {
    node.call("tuning", pod)
}

fn records(node: &Node) -> Vec<String> {
    node.look(&format!("ls -A {RECORDS} 2> /dev/null || true")).lines().map(str::to_owned).collect()
}

fn record() -> Value {
    serde_json::from_slice(&std::fs::read(RECORD).unwrap()).unwrap()
}

/// The failure is one sentence with these words.
fn says(failure: &Failure, code: u64, words: &[&str]) {
    assert_eq!(failure.code, code, "{failure:?}");
    for word in words {
        assert!(failure.message.contains(word), "want {word:?}: {failure:?}");
    }
    assert!(!failure.message.contains('\n') && failure.message.len() < 300, "{failure:?}");
}

fn exists(path: &str) -> bool {
    Path::new(path).symlink_metadata().is_ok()
}
