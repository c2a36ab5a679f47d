//! Calls at the same moment, for different containers.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::config::{bridge, host_local};
use tests::{Look, Node, Pod, Running};

fn pods(count: usize) -> Vec<Pod> {
    (0..count).map(|number| Pod::new(&format!("c{number}"))).collect()
}

/// Starts `verb` for every pod, then waits for all of them.
fn at_once(node: &Node, pods: &[Pod], verb: &str, config: &Value) -> Vec<Value> {
    let running: Vec<Running> = pods.iter().map(|pod| node.call("bridge", pod).start(verb, config)).collect();
    running.into_iter().map(|running| running.answer().unwrap()).collect()
}

#[test]
fn twenty_containers_at_once() {
    let (node, pods) = (Node::new(), pods(20));
    let config = bridge(json!({
        "isDefaultGateway": true, "ipMasq": true, "ipam": host_local(&["10.244.0.0/24", "fd00:244::/64"]),
    }));
    at_once(&node, &pods[..1], "ADD", &config);
    at_once(&node, &pods[..1], "DEL", &config);
    let before = node.fingerprint();

    let results = at_once(&node, &pods, "ADD", &config);
    let addresses: BTreeSet<_> = pods.iter().flat_map(|pod| pod.addresses("eth0")).collect();
    assert_eq!(addresses.len(), 40);
    assert_eq!(node.ports("cni0").len(), 20);
    for (pod, result) in pods.iter().zip(&results) {
        node.call("bridge", pod).check(&config, result);
        assert!(pod.reaches("10.244.0.1", 56) && pod.reaches("fd00:244::1", 56));
    }
    at_once(&node, &pods, "DEL", &config);
    assert_eq!(node.fingerprint(), before);
}

#[test]
fn the_first_adds_of_a_node_make_one_bridge_and_one_table_together() {
    let node = Node::new();
    let config = bridge(json!({
        "isDefaultGateway": true, "ipMasq": true, "ipam": host_local(&["10.244.0.0/24", "fd00:244::/64"]),
    }));
    for count in [2, 16, 2, 16, 2, 16] {
        let pods = pods(count);
        let results = at_once(&node, &pods, "ADD", &config);
        assert_eq!(node.ports("cni0").len(), count);
        assert_eq!(node.addresses("cni0"), ["10.244.0.1/24", "fd00:244::1/64"]);
        for (pod, result) in pods.iter().zip(&results) {
            // Both results have the same bridge.
            assert_eq!(result["interfaces"][0]["mac"], node.link("cni0")["address"]);
            node.call("bridge", pod).check(&config, result);
        }
        at_once(&node, &pods, "DEL", &config);
        node.look("ip link delete cni0; nft delete table inet weir");
    }
}

#[test]
fn some_leave_while_others_come() {
    let (node, mut leaving) = (Node::new(), pods(8));
    let config = bridge(json!({
        "isDefaultGateway": true, "ipMasq": true, "ipam": host_local(&["10.244.0.0/24", "fd00:244::/64"]),
    }));
    at_once(&node, &leaving, "ADD", &config);
    for round in 0..6 {
        let coming: Vec<_> = (0..8).map(|number| Pod::new(&format!("c{round}-{number}"))).collect();
        let running: Vec<[Running; 2]> = leaving
            .iter()
            .zip(&coming)
            .map(|(leaves, comes)| {
                [
                    node.call("bridge", leaves).start("DEL", &config),
                    node.call("bridge", comes).start("ADD", &config),
                ]
            })
            .collect();
        let results: Vec<_> =
            running.into_iter().map(|both| both.map(|running| running.answer().unwrap())).collect();
        for (pod, [_, result]) in coming.iter().zip(&results) {
            node.call("bridge", pod).check(&config, result);
            assert!(pod.reaches("10.244.0.1", 56) && pod.reaches("fd00:244::1", 56));
        }
        assert_eq!(node.ports("cni0").len(), coming.len());
        assert!(leaving.iter().all(|pod| pod.links().is_empty()));
        leaving = coming;
    }
}

#[test]
fn lo_and_eth0_of_one_container_at_once() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let loopback = json!({"cniVersion": "1.0.0", "name": "cni-loopback", "type": "loopback"});
    let config = bridge(json!({"isGateway": true}));
    for _ in 0..5 {
        let lo = node.call("loopback", &pod).with("CNI_IFNAME", "lo");
        let eth0 = node.call("bridge", &pod);
        for verb in ["ADD", "DEL"] {
            for running in [lo.start(verb, &loopback), eth0.start(verb, &config)] {
                running.answer().unwrap();
            }
            assert!(pod.reaches("127.0.0.1", 56), "the namespace's end takes lo, not DEL");
            assert_eq!(pod.links().len(), usize::from(verb == "ADD"));
        }
    }
}

#[test]
fn two_networks_of_one_container_at_once() {
    // Concourse attaches two conflists of the same name and bridge to one container, IPv4 and IPv6.
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let four = bridge(json!({"isGateway": true, "ipMasq": true}));
    let six = bridge(json!({"isGateway": true, "ipMasq": true, "ipam": host_local(&["fd00:244::/64"])}));
    let second = node.call("bridge", &pod).with("CNI_IFNAME", "eth2");
    let both = [node.call("bridge", &pod).start("ADD", &four), second.start("ADD", &six)];
    let results = both.map(|running| running.answer().unwrap());
    assert_eq!(pod.addresses("eth0"), ["10.244.0.2/24"]);
    assert_eq!(pod.addresses("eth2"), ["fd00:244::2/64"]);
    node.call("bridge", &pod).check(&four, &results[0]);
    second.check(&six, &results[1]);
}
