//! `macspoofchk` of a pod that the reference attached: our DEL takes it away with the pod.

use serde_json::{Value, json};
use tests::config::bridge;
use tests::{Look, Node, Pod, with_prev_result};

use crate::Set;

fn config() -> Value {
    bridge(json!({"cniVersion": "1.0.0", "macspoofchk": true}))
}

fn add(node: &Node, pod: &Pod, interface: &str) -> Value {
    let call = Set::both(node)[1].call(node, "bridge", pod);
    call.with("PATH", "/usr/sbin:/usr/bin").with("CNI_IFNAME", interface).add(&config())
}

#[test]
fn the_references_spoof_check_is_removed_and_others_stay() {
    // The second names begin with the first one's.
    for (with_result, macspoofchk, netns) in
        [(true, true, true), (false, true, true), (true, false, false), (false, true, false)]
    {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        add(&node, &pod, "eth10");
        add(&node, &Pod::new("c1-eth1"), "eth1");
        let before = node.look("nft -a list table bridge nat");
        let result = add(&node, &pod, "eth1");
        assert_eq!(node.look("nft -a list table bridge nat").matches("macspoofchk-c1-eth1\"").count(), 4);
        let call = node.call("bridge", &pod).with("CNI_IFNAME", "eth1");
        let call = if netns { call } else { call.with("CNI_NETNS", "") };
        let config = bridge(json!({"cniVersion": "1.0.0", "macspoofchk": macspoofchk}));
        let config = if with_result { with_prev_result(&config, &result) } else { config };
        for _ in 0..2 {
            call.del(&config);
            assert_eq!(node.look("nft -a list table bridge nat"), before);
        }
    }
}

#[test]
fn weirs_check_accepts_the_references_spoof_check() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let result = add(&node, &pod, "eth0");
    node.call("bridge", &pod).check(&config(), &result);
}
