//! CHECK and STATUS.

use serde_json::json;
use tests::{Look, Node, with_prev_result};

use super::{call, config, everything, pod, says};

#[test]
fn check_names_each_difference() {
    let (node, pod) = (Node::new(), pod("c1"));
    let config = config(&pod, everything());
    let result = call(&node, &pod).add(&config);
    for (change, back, words) in [
        ("ip link set eth0 mtu 1300", "ip link set eth0 mtu 1400", ["mtu", "1300", "1400"]),
        (
            "ip link set eth0 address 02:00:00:00:00:07",
            "ip link set eth0 address 02:00:00:00:00:05",
            ["mac", "02:00:00:00:00:07", "02:00:00:00:00:05"],
        ),
        ("ip link set eth0 promisc off", "ip link set eth0 promisc on", ["promisc", "false", "true"]),
        (
            "ip link set eth0 allmulticast off",
            "ip link set eth0 allmulticast on",
            ["allmulti", "false", "true"],
        ),
        ("ip link set eth0 txqueuelen 7", "ip link set eth0 txqueuelen 500", ["txQLen", "7", "500"]),
        (
            "echo 7 > /proc/sys/net/core/somaxconn",
            "echo 500 > /proc/sys/net/core/somaxconn",
            ["net.core.somaxconn", "\"7\"", "\"500\""],
        ),
    ] {
        pod.shell(change);
        let failure = call(&node, &pod).verb("CHECK", &with_prev_result(&config, &result)).unwrap_err();
        says(&failure, 999, &words);
        assert!(failure.message.contains("eth0") || words[0].contains('.'), "{failure:?}");
        pod.shell(back);
        call(&node, &pod).check(&config, &result);
    }
}

#[test]
fn check_needs_the_result_of_add() {
    let (node, pod) = (Node::new(), pod("c1"));
    let config = config(&pod, json!({"prevResult": null}));
    says(&call(&node, &pod).verb("CHECK", &config).unwrap_err(), 7, &["prevResult"]);
}

/// An administrator may have a look.
#[test]
fn check_accepts_a_promiscuous_interface_that_the_config_does_not_ask_for() {
    let (node, pod) = (Node::new(), pod("c1"));
    let config = config(&pod, json!({"mtu": 1400}));
    let result = call(&node, &pod).add(&config);
    pod.shell("ip link set eth0 promisc on");
    call(&node, &pod).check(&config, &result);
}

fn status(node: &Node, keys: serde_json::Value) -> Result<serde_json::Value, tests::Failure> {
    let base = json!({"cniVersion": "1.1.0", "name": "pods", "type": "tuning"});
    let call = node.call("tuning", &tests::Pod::new("c1"));
    let call = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]
        .into_iter()
        .fold(call, |call, name| call.with(name, ""));
    call.verb("STATUS", &tests::config::changed(&base, keys))
}

#[test]
fn status_says_what_add_would_not_take() {
    let node = Node::new();
    status(&node, json!({})).unwrap();
    status(&node, everything()).unwrap();
    assert_eq!(node.look("ls -A /run/cni"), "");
    for (keys, words) in [
        (json!({"mac": "zz"}), ["mac", "\"zz\""]),
        (json!({"sysctl": {"kernel.hostname": "x"}}), ["sysctl", "\"kernel.hostname\""]),
        (json!({"dataDir": "/proc/tuning"}), ["dataDir", "/proc"]),
    ] {
        says(&status(&node, keys).unwrap_err(), 50, &words);
    }
    node.look("mount -t tmpfs -o ro tmpfs /run/cni");
    says(&status(&node, json!({})).unwrap_err(), 50, &["dataDir", "/run/cni"]);
}
