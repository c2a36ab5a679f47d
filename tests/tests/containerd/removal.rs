//! Pods come and go, containerd is restarted: nothing remains.

use tests::{Containerd, Node};

use crate::shape::Shape;
use crate::shaping::check;
use crate::{limited, node, remove};

/// The state of a node after its first pod was removed: the bridge stays.
fn after_the_first_pod(node: &Node, containerd: &Containerd) -> String {
    remove(containerd, &limited(containerd, "first", "1M"));
    node.fingerprint()
}

#[test]
fn pods_that_are_stopped_and_removed_twice_leave_nothing() {
    let (node, containerd) = node();
    let before = after_the_first_pod(&node, &containerd);
    let sandboxes = [
        limited(&containerd, "limited", "10M"),
        limited(&containerd, "other", "1G"),
        containerd.run_pod("free", &[]).unwrap(),
    ];
    assert_ne!(node.fingerprint(), before);
    let cri = containerd.cri();
    for sandbox in &sandboxes {
        cri.stop_pod_sandbox(&sandbox.id).unwrap();
        cri.stop_pod_sandbox(&sandbox.id).unwrap();
    }
    assert_eq!(node.fingerprint(), before, "after they were stopped");
    for sandbox in &sandboxes {
        cri.remove_pod_sandbox(&sandbox.id).unwrap();
        cri.remove_pod_sandbox(&sandbox.id).unwrap();
    }
    assert_eq!(node.fingerprint(), before, "after they were removed");
    assert!(cri.pod_sandboxes().unwrap().is_empty());
}

#[test]
fn a_pod_that_is_removed_while_it_runs_leaves_nothing() {
    let (node, containerd) = node();
    let before = after_the_first_pod(&node, &containerd);
    let sandbox = limited(&containerd, "limited", "10M");
    containerd.cri().remove_pod_sandbox(&sandbox.id).unwrap();
    assert_eq!(node.fingerprint(), before);
}

#[test]
fn a_restart_of_containerd_changes_no_pod_and_keeps_none() {
    let (node, mut containerd) = node();
    let before = after_the_first_pod(&node, &containerd);
    let sandbox = limited(&containerd, "limited", "10M");
    let (shape, running) = (Shape::of(&node, &sandbox), node.fingerprint());
    containerd.restart();
    assert_eq!(Shape::of(&node, &sandbox), shape);
    assert_eq!(node.fingerprint(), running);
    let (status, netns) = containerd.cri().pod_sandbox_status(&sandbox.id).unwrap();
    assert_eq!((status.state, netns), (0, sandbox.netns.clone()), "ready, where it was");
    assert_eq!(status.network.unwrap().ip, sandbox.address);
    check(&node, &sandbox);
    remove(&containerd, &sandbox);
    assert_eq!(node.fingerprint(), before);
}
