//! Input that cannot be: one sentence with key and value, and nothing changes.

use serde_json::json;
use tests::config::changed;
use tests::{Node, Pod};

use super::{BEFORE, TUNED, call, config, everything, pod, records, says, shown};

#[test]
fn a_value_that_cannot_be_is_named_and_changes_nothing() {
    let (node, pod) = (Node::new(), pod("c1"));
    let before = shown(&pod);
    for (keys, words) in [
        (json!({"mac": "zz"}), &["mac", "\"zz\""][..]),
        (json!({"mac": "03:00:00:00:00:05"}), &["mac", "\"03:00:00:00:00:05\"", "unicast"]),
        (json!({"mac": "00:00:00:00:00:00"}), &["mac", "\"00:00:00:00:00:00\"", "unicast"]),
        (json!({"runtimeConfig": {"mac": "zz"}}), &["runtimeConfig.mac", "\"zz\""]),
        (json!({"args": {"cni": {"mac": "zz"}}}), &["args.cni.mac", "\"zz\""]),
        (json!({"mac": 5}), &["mac", "5"]),
        (json!({"mtu": 60}), &["mtu", "60", "68"]),
        (json!({"mtu": -1}), &["mtu", "-1"]),
        (json!({"mtu": 65536}), &["mtu", "65536", "65535"]),
        (json!({"mtu": 9_999_999_999_u64}), &["mtu", "9999999999"]),
        (json!({"txQLen": -1}), &["txQLen", "-1"]),
        (json!({"promisc": "yes"}), &["promisc", "\"yes\""]),
        (json!({"allmulti": 1}), &["allmulti", "1"]),
        (json!({"sysctl": {"net.core.somaxconn": 500}}), &["sysctl", "net.core.somaxconn", "500"]),
        (json!({"sysctl": ["net.core.somaxconn"]}), &["sysctl", "net.core.somaxconn"]),
        (json!({"prevResult": null}), &["prevResult"]),
    ] {
        let config = config(&pod, json!({"allmulti": true, "txQLen": 7}));
        let config = changed(&config, keys);
        says(&call(&node, &pod).verb("ADD", &config).unwrap_err(), 7, words);
    }
    let named = call(&node, &pod).with("CNI_ARGS", "IgnoreUnknown=1;MAC=01:00:5e:00:00:01");
    let failure = named.verb("ADD", &config(&pod, json!({}))).unwrap_err();
    says(&failure, 7, &["MAC in CNI_ARGS", "\"01:00:5e:00:00:01\""]);
    assert_eq!(shown(&pod), before);
    assert!(records(&node).is_empty());
}

/// The kernel would take the pod's address away.
#[test]
fn an_mtu_that_ipv6_cannot_have_is_refused_for_a_pod_with_an_ipv6_address() {
    let (node, pod) = (Node::new(), pod("c1"));
    call(&node, &pod).add(&config(&pod, json!({"mtu": 1279})));
    let mut config = config(&pod, json!({"mtu": 1279}));
    config["prevResult"]["ips"] = json!([{"address": "fd00::7/64", "interface": 1}]);
    says(&call(&node, &pod).verb("ADD", &config).unwrap_err(), 7, &["mtu", "1279", "1280", "fd00::7/64"]);
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    for verb in ["ADD", "CHECK"] {
        let failure = call(&node, &pod).verb(verb, &config(&pod, everything())).unwrap_err();
        says(&failure, 999, &["eth0", &pod.netns()]);
    }
    assert!(records(&node).is_empty());
}

#[test]
fn what_the_kernel_refuses_is_named_and_the_rest_is_taken_back() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    // It keeps its address.
    pod.shell(&format!("ip link add eth0 address {BEFORE} type ifb"));
    let before = shown(&pod);
    let config = config(&pod, everything());
    says(&call(&node, &pod).verb("ADD", &config).unwrap_err(), 999, &["hardware address", "eth0", TUNED]);
    assert_eq!(shown(&pod), before);
    assert!(records(&node).is_empty());
}

#[test]
fn a_namespace_that_cannot_be_opened_is_named() {
    let (node, pod) = (Node::new(), pod("c1"));
    let call = || call(&node, &pod).with("CNI_NETNS", "/run/netns/gone");
    says(&call().verb("ADD", &config(&pod, everything())).unwrap_err(), 4, &["CNI_NETNS", "/run/netns/gone"]);
    call().del(&config(&pod, everything()));
}

/// A DEL that refuses would keep the pod.
#[test]
fn del_reads_no_key_that_add_would_refuse() {
    let (node, pod) = (Node::new(), pod("c1"));
    let before = shown(&pod);
    for keys in [
        json!({"mac": "zz", "mtu": "x", "sysctl": 7, "args": 5, "prevResult": null}),
        json!({"sysctl": {"kernel.hostname": "x"}}),
        json!({"dataDir": 5}),
    ] {
        call(&node, &pod).add(&config(&pod, everything()));
        call(&node, &pod).with("CNI_ARGS", "nonsense").del(&config(&pod, keys));
        assert_eq!(shown(&pod), before);
        assert!(records(&node).is_empty());
    }
}
