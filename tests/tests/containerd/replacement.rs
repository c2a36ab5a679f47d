//! weir takes the place of the reference plugins on a node with pods, and they its place.

use std::path::Path;

use tests::{Containerd, Look, Node, REFERENCE, installed};

use crate::shape::Shape;
use crate::{limited, remove, without_masquerade};

/// The folder that containerd has plugins in.
const BIN: &str = "/mnt/bin";

fn install_reference() {
    tests::shell(&format!(
        "mkdir -p {BIN}; cd {REFERENCE}; for plugin in loopback bridge host-local bandwidth; do \
         cp $plugin {BIN}/.new; mv {BIN}/.new {BIN}/$plugin; done"
    ));
}

fn install_weir() {
    tests::shell(&format!("{}/weir install {BIN}", installed().display()));
}

/// The pods' links and addresses on a node.
fn of_pods(node: &Node) -> Vec<String> {
    let addresses = node.look("find /var/lib/cni/networks -name '10.*'");
    let mut all: Vec<_> = addresses.lines().map(str::to_owned).collect();
    all.extend(node.links().into_iter().filter(|link| link != "cni0"));
    all
}

/// One pod before the exchange of plugins, one after it; both are removed after it.
fn exchange(first: fn(), second: fn()) {
    let node = Node::new();
    first();
    let containerd = Containerd::start(Path::new(BIN), &without_masquerade());
    let old = limited(&containerd, "old", "10M");
    let shape = Shape::of(&node, &old);
    assert_eq!((shape.to_pod, shape.from_pod), (Some(10_000_000), Some(10_000_000)));

    second();
    let new = limited(&containerd, "new", "1G");
    assert_eq!(Shape::of(&node, &old), shape, "the pod that is there stays as it is");
    assert_ne!(old.address, new.address);
    assert!(old.pod.reaches(&new.address, 1472));

    remove(&containerd, &old);
    assert_eq!(of_pods(&node).len(), 3, "one address, one veth, one ifb: {:?}", of_pods(&node));
    let shape = Shape::of(&node, &new);
    assert_eq!((shape.to_pod, shape.from_pod), (Some(1_000_000_000), Some(1_000_000_000)));
    remove(&containerd, &new);
    assert_eq!(of_pods(&node), [""; 0]);
}

#[test]
fn a_pod_of_the_reference_is_removed_by_weir_after_weir_install() {
    exchange(install_reference, install_weir);
}

#[test]
fn the_reference_removes_a_pod_of_weir_after_the_way_back() {
    exchange(install_weir, install_reference);
}
