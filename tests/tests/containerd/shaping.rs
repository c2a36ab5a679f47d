//! Annotated pods, as the kernel shows them.

use serde_json::{Value, json};
use tests::{Look, Node, PodSandbox};

use crate::shape::Shape;
use crate::{EGRESS, INGRESS, conflist, limited, node};

#[test]
fn the_network_is_ready_with_weirs_executables_alone() {
    let (node, containerd) = node();
    let mut names: Vec<_> = node
        .bin()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "bandwidth",
            "bridge",
            "firewall",
            "host-local",
            "loopback",
            "portmap",
            "ptp",
            "static",
            "tuning",
            "weir"
        ]
    );
    let conditions = containerd.cri().conditions().unwrap();
    assert!(conditions.iter().any(|condition| condition.kind == "NetworkReady" && condition.holds));
    let sandbox = containerd.run_pod("first", &[]).unwrap();
    assert!(sandbox.pod.reaches(crate::GATEWAY, 1472));
}

#[test]
fn each_pod_has_the_limits_of_its_annotations_as_soon_as_it_runs() {
    let (node, containerd) = node();
    for (limit, rate) in [("64k", 64_000), ("1M", 1_000_000), ("10M", 10_000_000), ("1G", 1_000_000_000)] {
        let sandbox = limited(&containerd, &format!("both-{limit}").to_lowercase(), limit);
        let shape = Shape::of(&node, &sandbox);
        assert_eq!((shape.to_pod, shape.from_pod), (Some(rate), Some(rate)), "{limit}");
        assert!(shape.ifb.unwrap().starts_with("bwp"), "the name that the reference gives");
        assert_eq!(sandbox.pod.addresses("eth0"), [format!("{}/24", sandbox.address)], "as containerd says");
    }
}

#[test]
fn a_pod_with_one_annotation_is_limited_in_one_direction() {
    let (node, containerd) = node();
    let sandbox = containerd.run_pod("in", &[(INGRESS, "10M")]).unwrap();
    let shape = Shape::of(&node, &sandbox);
    assert_eq!(shape, Shape { to_pod: Some(10_000_000), from_pod: None, ifb: None });
    let sandbox = containerd.run_pod("out", &[(EGRESS, "10M")]).unwrap();
    let shape = Shape::of(&node, &sandbox);
    assert_eq!((shape.to_pod, shape.from_pod), (None, Some(10_000_000)));
}

#[test]
fn a_pod_without_annotations_is_not_limited() {
    let (node, containerd) = node();
    let sandbox = containerd.run_pod("free", &[]).unwrap();
    assert_eq!(Shape::of(&node, &sandbox), Shape { to_pod: None, from_pod: None, ifb: None });
    assert!(node.ip("link show type ifb").is_empty());
    assert_eq!(sandbox.pod.addresses("eth0"), [format!("{}/24", sandbox.address)], "as containerd says");
}

#[test]
fn full_size_packets_pass_at_64k() {
    let (node, containerd) = node();
    let sandbox = limited(&containerd, "slow", "64k");
    // The answers go the other way, through the other limit.
    // The first answer to each of five, whenever it comes.
    node.look(&format!("for n in 1 2 3 4 5; do ping -n -q -c 1 -w 30 -s 1472 {}; done", sandbox.address));
}

/// CRI-O does this after every ADD, containerd never.
#[test]
fn check_passes_right_after_containerd_has_made_a_pod() {
    let (node, containerd) = node();
    check(&node, &limited(&containerd, "limited", "10M"));
    check(&node, &containerd.run_pod("free", &[]).unwrap());
}

/// Calls CHECK of each plugin with what containerd's library has kept of ADD.
pub(crate) fn check(node: &Node, sandbox: &PodSandbox) {
    let file = format!("/var/lib/cni/results/pods-{}-eth0", sandbox.id);
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let conflist = conflist();
    for plugin in conflist["plugins"].as_array().unwrap() {
        let mut config = plugin.clone();
        config["name"] = conflist["name"].clone();
        config["cniVersion"] = conflist["cniVersion"].clone();
        if plugin["capabilities"]["bandwidth"] == true {
            config["runtimeConfig"] = json!({"bandwidth": kept["capabilityArgs"]["bandwidth"]});
        }
        let name = plugin["type"].as_str().unwrap();
        let call = node.call_in(node.bin(), name, &sandbox.pod).with("CNI_NETNS", &sandbox.netns);
        call.check(&config, &kept["result"]);
    }
}
