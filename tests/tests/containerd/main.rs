//! containerd and runc make pods with what `weir install` installed, and with nothing else.
//!
//! | file | what it is about |
//! |---|---|
//! | `shaping.rs` | what the kernel shows of annotated pods |
//! | `throughput.rs` | what arrives |
//! | `live.rs` | limits of running pods are changed |
//! | `refused.rs` | annotations that make no sense |
//! | `removal.rs` | pods come and go, containerd is restarted: nothing remains |
//! | `replacement.rs` | weir takes the place of the reference plugins on a node with pods, and they its place |

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

mod live;
mod refused;
mod removal;
mod replacement;
mod shape;
mod shaping;
mod throughput;

use serde_json::{Value, json};
use tests::{Containerd, Node, PodSandbox, repository};

const INGRESS: &str = "kubernetes.io/ingress-bandwidth";
const EGRESS: &str = "kubernetes.io/egress-bandwidth";
/// The bridge's address by the conflist below.
const GATEWAY: &str = "10.244.0.1";

/// The conflist that operators copy.
fn conflist() -> Value {
    let file = repository().join("conf-examples/bridge-bandwidth.conflist");
    let text = std::fs::read_to_string(file).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The same for a network whose addresses are known beyond the node.
fn without_masquerade() -> Value {
    let mut conflist = conflist();
    conflist["plugins"][0]["ipMasq"] = json!(false);
    conflist
}

/// A node that takes pods.
fn node() -> (Node, Containerd) {
    let node = Node::new();
    let containerd = Containerd::start(node.bin(), &conflist());
    (node, containerd)
}

/// A pod with the same limit in both directions.
fn limited(containerd: &Containerd, name: &str, limit: &str) -> PodSandbox {
    containerd.run_pod(name, &[(INGRESS, limit), (EGRESS, limit)]).unwrap()
}

/// Stops and removes a pod as the kubelet does.
fn remove(containerd: &Containerd, sandbox: &PodSandbox) {
    containerd.cri().stop_pod_sandbox(&sandbox.id).unwrap();
    containerd.cri().remove_pod_sandbox(&sandbox.id).unwrap();
}
