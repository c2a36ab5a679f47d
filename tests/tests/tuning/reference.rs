//! The reference's `tuning` and ours on one node. Debian ships 1.1.1, which has no `txQLen` and no list of allowed
//! parameters, and does not restore parameters.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tests::config::changed;
use tests::{Call, Look, Node, Pod, REFERENCE, with_prev_result};

use super::{RECORD, TUNED, config, pod, record, records, shown};

const MAC_OF: [&str; 4] =
    ["02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c", "02:00:00:00:00:0d"];

fn both(node: &Node) -> [&Path; 2] {
    let reference = Path::new(REFERENCE);
    assert!(reference.join("tuning").exists(), "apt install containernetworking-plugins");
    [node.bin(), reference]
}

fn call_in(node: &Node, folder: &Path, pod: &Pod) -> Call {
    node.call_in(folder, "tuning", pod)
}

fn properties() -> Value {
    json!({"mac": TUNED, "mtu": 1400, "promisc": true, "allmulti": true})
}

#[test]
fn both_answer_alike_and_leave_the_same_interface_and_record() {
    let node = Node::new();
    let keys = changed(&properties(), json!({"sysctl": {"net.core.somaxconn": "500"}}));
    for version in ["0.3.1", "0.4.0", "1.0.0"] {
        let [ours, references] = both(&node).map(|folder| {
            let pod = pod("c1");
            let config = config(&pod, changed(&keys, json!({"cniVersion": version})));
            let mut previous = changed(&config["prevResult"], json!({"cniVersion": version}));
            if version != "1.0.0" {
                previous["ips"][0]["version"] = json!("4");
            }
            let config = with_prev_result(&config, &previous);
            let mut result = call_in(&node, folder, &pod).add(&config);
            let record = record();
            let kept = ["mac", "mtu", "promisc", "allmulti"].map(|key| record[key].clone());
            let shown = shown(&pod);
            call_in(&node, folder, &pod).del(&config);
            assert!(records(&node).is_empty());
            result["interfaces"][1]["sandbox"] = Value::Null;
            (result, kept, shown)
        });
        assert_eq!(ours, references);
    }
}

#[test]
fn either_del_restores_what_the_others_add_changed() {
    let node = Node::new();
    let [ours, references] = both(&node);
    for (add, del) in [(ours, references), (references, ours)] {
        let pod = pod("c1");
        let (before, config) = (shown(&pod), config(&pod, properties()));
        let result = call_in(&node, add, &pod).add(&config);
        assert_ne!(shown(&pod), before);
        call_in(&node, del, &pod).del(&with_prev_result(&config, &result));
        assert_eq!(shown(&pod), before, "{del:?} after {add:?}");
        assert!(records(&node).is_empty());
    }
}

#[test]
fn either_check_accepts_what_the_others_add_set() {
    let node = Node::new();
    let [ours, references] = both(&node);
    let keys = changed(&properties(), json!({"sysctl": {"net.core.somaxconn": "500"}}));
    for (add, check) in [(ours, references), (references, ours)] {
        let pod = pod("c1");
        let config = config(&pod, keys.clone());
        let result = call_in(&node, add, &pod).add(&config);
        call_in(&node, check, &pod).check(&config, &result);
    }
}

#[test]
fn both_take_the_hardware_address_from_the_same_source() {
    let node = Node::new();
    let [key, environment, runtime, args] = MAC_OF;
    let mut seen = Vec::new();
    for sources in 0..16 {
        let given = |bit: u32| sources & (1 << bit) != 0;
        let [ours, references] = both(&node).map(|folder| {
            let pod = pod("c1");
            let keys = json!({
                "mac": given(0).then_some(key),
                "runtimeConfig": given(2).then_some(json!({"mac": runtime})),
                "args": given(3).then_some(json!({"cni": {"mac": args}})),
            });
            let call = call_in(&node, folder, &pod);
            let arguments = format!("IgnoreUnknown=1;MAC={environment}");
            let call = if given(1) { call.with("CNI_ARGS", arguments) } else { call };
            call.add(&config(&pod, keys));
            let mac = shown(&pod)["mac"].clone();
            fs::remove_file(RECORD).ok();
            mac
        });
        assert_eq!(ours, references, "{sources:b}");
        seen.push(ours);
    }
    assert!(MAC_OF.iter().all(|mac| seen.contains(&json!(mac))), "{seen:?}");
}

#[test]
fn an_empty_mac_in_args_leaves_the_address_as_it_is_in_both() {
    let node = Node::new();
    for folder in both(&node) {
        let pod = pod("c1");
        let keys = json!({"mac": TUNED, "args": {"cni": {"mac": ""}}});
        call_in(&node, folder, &pod).add(&config(&pod, keys));
        assert_eq!(shown(&pod)["mac"], super::BEFORE, "{folder:?}");
    }
}

/// The reference's record does not tell its namespace: prevResult has another address than the interface.
#[test]
fn the_references_record_is_not_restored_in_the_next_containers_namespace() {
    let node = Node::new();
    let [ours, references] = both(&node);
    let (old, next) = (pod("c1"), pod("next"));
    let result = call_in(&node, references, &old).add(&config(&old, properties()));
    let set = json!({"mac": "02:00:00:00:00:77", "mtu": 1300});
    call_in(&node, ours, &next).add(&config(&next, set));
    let before = shown(&next);
    let late = call_in(&node, ours, &old).with("CNI_NETNS", next.netns());
    late.del(&with_prev_result(&config(&old, properties()), &result));
    assert_eq!(shown(&next), before);
    assert_eq!(records(&node), ["next_eth0.json"]);
}

/// The reference replaces the record by what its second ADD finds.
#[test]
fn an_add_after_the_references_keeps_what_was_there_before_that() {
    let node = Node::new();
    let [ours, references] = both(&node);
    let pod = pod("c1");
    let before = shown(&pod);
    call_in(&node, references, &pod).add(&config(&pod, json!({"mtu": 1300})));
    call_in(&node, ours, &pod).add(&config(&pod, properties()));
    call_in(&node, ours, &pod).del(&config(&pod, properties()));
    assert_eq!(shown(&pod), before);
}

/// A pair of weir's `bridge` says whose it is, also to a DEL without prevResult.
#[test]
fn the_alias_of_the_hosts_end_tells_whose_the_references_record_is() {
    let node = Node::new();
    let [ours, references] = both(&node);
    let pod = Pod::new("c1");
    let result = node.call("bridge", &pod).add(&tests::config::bridge(json!({"cniVersion": "0.3.1"})));
    let before = shown(&pod);
    let config =
        json!({"cniVersion": "0.3.1", "name": "pods", "type": "tuning", "mtu": 1400, "promisc": true});
    call_in(&node, references, &pod).add(&with_prev_result(&config, &result));
    assert_ne!(shown(&pod), before);
    call_in(&node, ours, &pod).del(&config);
    assert_eq!(shown(&pod), before);
    assert!(records(&node).is_empty());
}

/// DEL of `tuning` comes first and restores the hardware address, which `prevResult` does not have.
#[test]
fn a_pod_that_the_reference_attached_with_another_hardware_address_is_detached() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let (bridge, tuning) = (tests::config::bridge(json!({})), config(&pod, properties()));
    let reference = Path::new(REFERENCE);
    let attach = || node.call_in(reference, "bridge", &pod).with("CNI_PATH", REFERENCE);
    attach().add(&bridge);
    attach().del(&bridge);
    let before = node.fingerprint();
    let made = attach().add(&bridge);
    let limits = json!({
        "cniVersion": "1.0.0", "name": "pods", "type": "bandwidth", "ingressRate": 8_000_000, "ingressBurst": 800_000,
        "egressRate": 8_000_000, "egressBurst": 800_000,
    });
    let limited = node.call_in(reference, "bandwidth", &pod).add(&with_prev_result(&limits, &made));
    let result = call_in(&node, reference, &pod).add(&with_prev_result(&tuning, &limited));
    node.call("tuning", &pod).del(&with_prev_result(&tuning, &result));
    node.call("bandwidth", &pod).del(&with_prev_result(&limits, &result));
    node.call("bridge", &pod).del(&with_prev_result(&bridge, &result));
    assert!(pod.links().is_empty());
    assert_eq!(node.fingerprint(), before);
}
