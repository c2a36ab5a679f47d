//! Limits of running pods are changed, without containerd and the pod noticing.

use std::time::Instant;

use tests::Received;

use crate::shape::Shape;
use crate::throughput::{Direction, PATIENCE, PAYLOAD, measure};
use crate::{limited, node, remove, shaping};

#[test]
fn a_running_pod_gets_another_limit_and_containerd_removes_it_as_any_other() {
    let (node, containerd) = node();
    // The first pod of a node leaves the bridge and the empty table behind.
    remove(&containerd, &containerd.run_pod("first", &[]).unwrap());
    let before = node.fingerprint();
    let sandbox = limited(&containerd, "busy", "10M");
    let output = node.weir("limit default/busy --ingress 40M --egress 20M");
    assert!(output.status.success(), "{output:?}");
    let shape = Shape::of(&node, &sandbox);
    assert_eq!((shape.to_pod, shape.from_pod), (Some(40_000_000), Some(20_000_000)));
    shaping::check(&node, &sandbox);
    for (direction, rate) in [(Direction::ToPod, 40e6), (Direction::FromPod, 20e6)] {
        let (mut seen, deadline) = (Vec::new(), Instant::now() + PATIENCE);
        let is_near = |received: &Received| (0.9..=1.03).contains(&(received.mean / (rate * PAYLOAD)));
        while !seen.last().is_some_and(is_near) {
            assert!(Instant::now() < deadline, "{direction:?}: {seen:?}");
            seen.push(measure(&sandbox, direction));
        }
    }
    remove(&containerd, &sandbox);
    assert_eq!(node.fingerprint(), before);
}
