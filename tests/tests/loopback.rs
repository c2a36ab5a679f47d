//! `loopback`: what containerd runs beside the first network of each pod.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

use serde_json::{Value, json};
use tests::{Node, Pod, with_prev_result};

fn config() -> Value {
    json!({"cniVersion": "0.4.0", "name": "cni-loopback", "type": "loopback"})
}

fn is_up(pod: &Pod) -> bool {
    pod.json("ip -j link show lo")[0]["flags"].as_array().unwrap().iter().any(|flag| flag == "UP")
}

#[test]
fn add_brings_lo_up_and_reports_its_addresses() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let result = node.call("loopback", &pod).with("CNI_IFNAME", "lo").add(&config());
    assert!(is_up(&pod));
    assert_eq!(
        result,
        json!({
            "cniVersion": "0.4.0",
            "interfaces": [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": pod.netns()}],
            "ips": [
                {"version": "4", "interface": 0, "address": "127.0.0.1/8"},
                {"version": "6", "interface": 0, "address": "::1/128"},
            ],
            "dns": {},
        })
    );
}

#[test]
fn check_fails_when_lo_is_down() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let call = node.call("loopback", &pod).with("CNI_IFNAME", "lo");
    let result = call.add(&config());
    call.check(&config(), &result);
    pod.shell("ip link set lo down");
    let failure = call.verb("CHECK", &with_prev_result(&config(), &result)).unwrap_err();
    assert!(failure.message.contains("lo") && failure.message.contains("down"), "{failure:?}");
}

/// The namespace's path may be the next container's by now.
#[test]
fn a_late_del_leaves_lo_of_the_next_container_up() {
    let (node, pod) = (Node::new(), Pod::new("new"));
    let call = || node.call("loopback", &pod).with("CNI_IFNAME", "lo");
    let result = call().add(&config());
    call().with("CNI_CONTAINERID", "old").del(&config());
    assert!(is_up(&pod));
    call().check(&config(), &result);
}

#[test]
fn del_succeeds_without_a_namespace_and_with_a_missing_one() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let call = node.call("loopback", &pod);
    call.with("CNI_NETNS", "").del(&config());
    node.call("loopback", &pod).with("CNI_NETNS", "/run/netns/gone").del(&config());
}

#[test]
fn the_result_of_an_earlier_plugin_is_passed_on() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let previous = json!({
        "cniVersion": "0.4.0",
        "interfaces": [{"name": "eth0", "sandbox": pod.netns()}],
        "ips": [{"version": "4", "interface": 0, "address": "10.1.2.7/24"}],
        "dns": {},
    });
    let result = node.call("loopback", &pod).add(&with_prev_result(&config(), &previous));
    assert_eq!(result, previous);
}
