//! ADD: what is asked for, by whom, and what the next plugin reads of it.

use std::process::Stdio;

use serde_json::{Value, json};
use tests::config::changed;
use tests::{Look, Node, with_prev_result};

use super::{BEFORE, TUNED, call, config, everything, pod, record, records, result, shown, tuned};

#[test]
fn add_sets_everything_and_del_restores_it() {
    let (node, pod) = (Node::new(), pod("c1"));
    let (before, host) = (shown(&pod), node.sysctl("net/core/somaxconn"));
    let answer = call(&node, &pod).add(&config(&pod, everything()));
    assert_eq!(shown(&pod), tuned());
    assert_eq!(node.sysctl("net/core/somaxconn"), host);
    let mut wanted = result(&pod);
    wanted["interfaces"][1]["mac"] = json!(TUNED);
    assert_eq!(answer, wanted);
    call(&node, &pod).check(&config(&pod, everything()), &answer);
    call(&node, &pod).del(&config(&pod, everything()));
    assert_eq!(shown(&pod), before);
    assert!(records(&node).is_empty());
    call(&node, &pod).del(&config(&pod, everything()));
}

#[test]
fn what_is_not_asked_for_stays_as_it_is_and_del_leaves_it_alone() {
    let (node, pod) = (Node::new(), pod("c1"));
    let mut wanted = shown(&pod);
    call(&node, &pod).add(&config(&pod, json!({"mtu": 1400})));
    wanted["mtu"] = json!(1400);
    assert_eq!(shown(&pod), wanted);
    pod.shell("ip link set eth0 txqueuelen 7");
    call(&node, &pod).del(&config(&pod, json!({})));
    assert_eq!((shown(&pod)["mtu"].clone(), shown(&pod)["txQLen"].clone()), (json!(1500), json!(7)));
}

/// nerdctl has `tuning` without keys in its conflists.
#[test]
fn a_config_that_asks_for_nothing_passes_the_result_on() {
    let (node, pod) = (Node::new(), pod("c1"));
    let before = shown(&pod);
    for keys in [
        json!({}),
        json!({"mac": "", "mtu": 0, "promisc": false, "sysctl": {}, "runtimeConfig": {"mac": ""}}),
        json!({"mac": null, "mtu": null, "allmulti": null, "txQLen": null, "sysctl": null, "args": null}),
    ] {
        let config = config(&pod, keys);
        let answer = call(&node, &pod).add(&config);
        assert_eq!(answer, result(&pod));
        call(&node, &pod).check(&config, &answer);
        call(&node, &pod).del(&config);
    }
    assert_eq!(shown(&pod), before);
    assert!(records(&node).is_empty());
}

#[test]
fn false_and_zero_are_values_where_the_reference_has_them() {
    let (node, pod) = (Node::new(), pod("c1"));
    pod.shell("ip link set eth0 allmulticast on");
    let config = config(&pod, json!({"allmulti": false, "txQLen": 0}));
    call(&node, &pod).add(&config);
    assert_eq!((shown(&pod)["allmulti"].clone(), shown(&pod)["txQLen"].clone()), (json!(false), json!(0)));
    call(&node, &pod).del(&config);
    assert_eq!((shown(&pod)["allmulti"].clone(), shown(&pod)["txQLen"].clone()), (json!(true), json!(1000)));
}

#[test]
fn args_of_the_config_win_over_its_keys() {
    let (node, pod) = (Node::new(), pod("c1"));
    let keys = json!({
        "mtu": 1300, "promisc": true, "sysctl": {"net.core.somaxconn": "77", "net.ipv4.conf.IFNAME.rp_filter": "2"},
        "args": {"cni": {
            "mac": TUNED, "mtu": 1400, "promisc": false, "allmulti": true, "txQLen": 500,
            "sysctl": {"net/core/somaxconn": "500"},
        }},
    });
    call(&node, &pod).add(&config(&pod, keys));
    assert_eq!(shown(&pod), changed(&tuned(), json!({"promisc": false})));
}

#[test]
fn args_alone_are_enough() {
    let (node, pod) = (Node::new(), pod("c1"));
    call(&node, &pod).add(&config(&pod, json!({"args": {"cni": everything()}})));
    assert_eq!(shown(&pod), tuned());
}

#[test]
fn a_runtimes_key_counts_in_any_case() {
    let (node, pod) = (Node::new(), pod("c1"));
    call(&node, &pod).add(&config(&pod, json!({"runtimeConfig": {"Mac": TUNED}, "MTU": 1400})));
    assert_eq!((shown(&pod)["mac"].clone(), shown(&pod)["mtu"].clone()), (json!(TUNED), json!(1400)));
}

#[test]
fn the_result_tells_a_new_mtu_where_it_told_the_old_one() {
    let (node, pod) = (Node::new(), pod("c1"));
    let mut previous = changed(&result(&pod), json!({"cniVersion": "1.1.0"}));
    previous["interfaces"][1]["mtu"] = json!(1500);
    let config = with_prev_result(&config(&pod, json!({"cniVersion": "1.1.0", "mtu": 1400})), &previous);
    let answer = call(&node, &pod).add(&config);
    previous["interfaces"][1]["mtu"] = json!(1400);
    assert_eq!(answer, previous);
}

#[test]
fn every_version_of_a_result_gets_the_hardware_address() {
    let node = Node::new();
    for version in ["0.3.0", "0.3.1", "0.4.0"] {
        let pod = pod("c1");
        let previous = json!({
            "cniVersion": version, "interfaces": [{"name": "eth0", "mac": BEFORE, "sandbox": pod.netns()}],
            "ips": [{"version": "4", "address": "10.1.2.7/24", "interface": 0}], "dns": {},
        });
        let keys = json!({"cniVersion": version, "mac": TUNED});
        let config = with_prev_result(&config(&pod, keys), &previous);
        let mut wanted = previous;
        wanted["interfaces"][0]["mac"] = json!(TUNED);
        assert_eq!(call(&node, &pod).add(&config), wanted);
        call(&node, &pod).del(&config);
    }
    let pod = pod("c1");
    let previous = json!({"cniVersion": "0.2.0", "ip4": {"ip": "10.1.2.7/24"}, "dns": {}});
    let config = with_prev_result(&config(&pod, json!({"cniVersion": "0.2.0", "mac": TUNED})), &previous);
    assert_eq!(call(&node, &pod).add(&config), previous);
    assert_eq!(shown(&pod)["mac"], TUNED);
}

#[test]
fn a_repeated_add_keeps_what_was_there_before_the_first() {
    let (node, pod) = (Node::new(), pod("c1"));
    let before = shown(&pod);
    call(&node, &pod).add(&config(&pod, json!({"mtu": 1300, "sysctl": {"net.core.somaxconn": "77"}})));
    call(&node, &pod).add(&config(&pod, everything()));
    assert_eq!(shown(&pod), tuned());
    assert_eq!((record()["mtu"].clone(), record()["mac"].clone()), (json!(1500), json!(BEFORE)));
    call(&node, &pod).del(&config(&pod, everything()));
    assert_eq!(shown(&pod), before);
}

/// A killed DEL or a node that crashed leaves a record, and the container's ID may come again.
#[test]
fn a_record_of_an_interface_that_is_gone_is_not_taken_for_this_ones() {
    let node = Node::new();
    let old = pod("c1");
    old.shell("ip link set eth0 mtu 1234");
    call(&node, &old).add(&config(&old, everything()));
    drop(old);
    let pod = pod("c1");
    let before = shown(&pod);
    call(&node, &pod).add(&config(&pod, everything()));
    call(&node, &pod).del(&config(&pod, everything()));
    assert_eq!(shown(&pod), before);
}

fn unanswered(node: &Node, pod: &tests::Pod, config: &Value) {
    let full = || Stdio::from(std::fs::File::options().write(true).open("/dev/full").unwrap());
    assert!(!call(node, pod).raw_to(full(), "ADD", &config.to_string()).status.success());
}

#[test]
fn an_add_that_cannot_be_answered_is_taken_back() {
    let (node, pod) = (Node::new(), pod("c1"));
    let before = shown(&pod);
    unanswered(&node, &pod, &config(&pod, everything()));
    assert_eq!(shown(&pod), before);
    assert!(records(&node).is_empty());
}

#[test]
fn what_an_earlier_add_set_stays_when_a_later_one_is_taken_back() {
    let (node, pod) = (Node::new(), pod("c1"));
    let before = shown(&pod);
    let first = config(&pod, json!({"mtu": 1300, "sysctl": {"net.core.somaxconn": "77"}}));
    call(&node, &pod).add(&first);
    let (set, kept) = (shown(&pod), record());
    unanswered(&node, &pod, &config(&pod, everything()));
    assert_eq!((shown(&pod), record()), (set, kept));
    call(&node, &pod).del(&first);
    assert_eq!(shown(&pod), before);
}

#[test]
fn neighbours_of_the_pod_learn_its_new_hardware_address() {
    let (node, pod) = (Node::new(), tests::Pod::new("c1"));
    let made = node.call("bridge", &pod).add(&tests::config::bridge(json!({"isGateway": true})));
    node.look(&format!("ip neigh replace 10.244.0.2 lladdr {BEFORE} nud reachable dev cni0"));
    call(&node, &pod).add(&with_prev_result(&config(&pod, json!({"mac": TUNED})), &made));
    tests::eventually("the host has the new address", || {
        node.ip("neigh show 10.244.0.2 dev cni0")[0]["lladdr"] == TUNED
    });
    assert!(pod.reaches("10.244.0.1", 56));
}

/// With a main plugin and limits, as people chain them.
#[test]
fn a_chain_with_bridge_and_bandwidth_is_checked_and_detached() {
    let (node, pod) = (Node::new(), tests::Pod::new("c1"));
    let bridge = tests::config::bridge(json!({"cniVersion": "1.1.0", "mtu": 1450}));
    let limits = json!({
        "cniVersion": "1.1.0", "name": "pods", "type": "bandwidth", "ingressRate": 8_000_000, "ingressBurst": 800_000,
        "egressRate": 8_000_000, "egressBurst": 800_000,
    });
    let tuning = json!({"cniVersion": "1.1.0", "name": "pods", "type": "tuning", "mac": TUNED, "mtu": 1400});
    let made = node.call("bridge", &pod).add(&bridge);
    let limited = node.call("bandwidth", &pod).add(&with_prev_result(&limits, &made));
    let result = call(&node, &pod).add(&with_prev_result(&tuning, &limited));
    for (plugin, config) in [("bridge", &bridge), ("bandwidth", &limits), ("tuning", &tuning)] {
        node.call(plugin, &pod).check(config, &result);
    }
    for (plugin, config) in [("tuning", &tuning), ("bandwidth", &limits), ("bridge", &bridge)] {
        node.call(plugin, &pod).del(&with_prev_result(config, &result));
    }
    assert!(pod.links().is_empty() && records(&node).is_empty());
}
