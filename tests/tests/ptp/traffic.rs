//! Between host, pods and the world, with limits behind.

use serde_json::json;
use tests::config::ptp;
use tests::{Flow, Look, Node, Pod, with_prev_result};

const NODE: &str = "192.0.2.1";
const OUTSIDE: &str = "192.0.2.2";
/// What is left of an Ethernet frame for TCP's payload, with timestamps and an MTU of 1,500.
const PAYLOAD: f64 = 1448.0 / 1514.0;

/// A host on the other side of the node, which knows no way to the pods.
fn outside(node: &Node) -> Pod {
    let outside = Pod::new("outside");
    node.look(&format!(
        "ip link add up0 type veth peer name up0 netns {}; ip link set up0 up; ip addr add {NODE}/24 dev up0",
        outside.netns()
    ));
    outside.look(&format!("ip link set up0 up; ip addr add {OUTSIDE}/24 dev up0"));
    outside
}

#[test]
fn host_and_pods_reach_each_other_by_both_families() {
    let node = Node::new();
    let pods = ["c1", "c2"].map(Pod::new);
    pods.iter().for_each(|pod| drop(node.call("ptp", pod).add(&ptp(json!({})))));
    for address in ["10.244.0.2", "10.244.0.3", "fd00:244::2", "fd00:244::3"] {
        node.look(&format!("ping -n -c 1 -w 10 {address}"));
    }
    for (pod, addresses) in pods.iter().zip([
        ["10.244.0.1", "10.244.0.3", "fd00:244::1", "fd00:244::3"],
        ["10.244.0.1", "10.244.0.2", "fd00:244::1", "fd00:244::2"],
    ]) {
        for address in addresses {
            assert!(pod.reaches(address, 1000), "{} to {address}", pod.id());
        }
    }
}

#[test]
fn what_leaves_the_subnet_is_masqueraded_where_the_config_says_so() {
    let node = Node::new();
    let outside = outside(&node);
    let (masqueraded, plain) = (Pod::new("c1"), Pod::new("c2"));
    node.call("ptp", &plain).add(&ptp(json!({})));
    node.call("ptp", &masqueraded).add(&ptp(json!({"ipMasq": true})));
    assert!(masqueraded.reaches(OUTSIDE, 56));
    assert!(plain.misses(OUTSIDE));
    assert!(masqueraded.reaches("10.244.0.2", 56), "within the subnet, a pod keeps its address");
    drop(outside);
}

#[test]
fn a_limit_behind_it_holds_in_both_directions() {
    const RATE: u32 = 10_000_000;
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let attached = node.call("ptp", &pod).add(&ptp(json!({})));
    let limits = json!({
        "cniVersion": "1.0.0", "name": "pods", "type": "bandwidth",
        "ingressRate": RATE, "ingressBurst": 1_000_000, "egressRate": RATE, "egressBurst": 1_000_000,
    });
    let result = node.call("bandwidth", &pod).add(&with_prev_result(&limits, &attached));
    let netns = pod.netns();
    let to_pod =
        Flow { sender: None, address: "10.244.0.1", receiver: Some(&netns), seconds: 3, options: "" };
    let from_pod = Flow { sender: Some(&netns), address: "10.244.0.2", receiver: None, ..to_pod };
    for flow in [to_pod, from_pod] {
        // A busy machine may bunch or delay packets: no more than the limit ever arrives, and mostly all of it.
        let received = flow.run().mean / (f64::from(RATE) * PAYLOAD);
        assert!((0.5..=1.1).contains(&received), "{received}");
    }
    for plugin in ["ptp", "bandwidth"] {
        let config = if plugin == "ptp" { ptp(json!({})) } else { limits.clone() };
        node.call(plugin, &pod).check(&config, &result);
    }
    for plugin in ["bandwidth", "ptp"] {
        let config = if plugin == "ptp" { ptp(json!({})) } else { limits.clone() };
        node.call(plugin, &pod).del(&with_prev_result(&config, &result));
    }
    assert!(node.links().is_empty() && pod.links().is_empty());
    assert_eq!(node.look("find /var/lib/cni/networks/pods -name '10.*' -o -name 'fd*'"), "");
}
