//! Annotations that make no sense.

use crate::{EGRESS, INGRESS, node};

#[test]
fn a_pod_with_a_bad_annotation_is_refused_with_the_reason_and_leaves_nothing() {
    let (node, containerd) = node();
    let before = node.fingerprint();
    for (name, key, value, reason) in [
        ("no-number", INGRESS, "fast", "quantities must match"),
        ("too-small", INGRESS, "1", "unreasonably small"),
        ("too-large", EGRESS, "2P", "unreasonably large"),
    ] {
        let refusal = containerd.run_pod(name, &[(key, value)]).err().expect(value);
        assert!(refusal.message().contains(reason), "{value}: {refusal}");
        assert_eq!(node.fingerprint(), before, "{value}");
    }
    // The node takes other pods as if nothing had been.
    containerd.run_pod("good", &[(INGRESS, "1M")]).unwrap();
}
