//! Pairs that other main plugins made, several interfaces of a container, what GC removes.

use serde_json::{Value, json};
use tests::{Node, Pod, with_prev_result};

use crate::setting::{Setting, bandwidth_config, ifbs, requested, tbf};

/// A pair as Calico makes it, with `name` on the host, and the result that its plugin prints.
pub fn calico(pod: &Pod, name: &str, interface: &str) -> Value {
    tests::shell(&format!(
        "ip link add {name} up type veth peer name {interface}; ip link set {interface} netns {}",
        pod.netns()
    ));
    pod.shell(&format!("ip link set {interface} up"));
    json!({
        "cniVersion": "1.1.0",
        "interfaces": [{"name": name}, {"name": interface, "sandbox": pod.netns()}],
        "ips": [],
    })
}

pub fn alias(device: &str) -> String {
    let link = tests::json(&format!("ip -j link show {device}"));
    link[0]["ifalias"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_pair_of_another_plugin_is_shaped_and_named_and_stays_after_del() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let attached = calico(&pod, "cali1234", "eth0");
    let keys = json!({"ingressRate": 8_000_000, "ingressBurst": 800_000});
    let call = node.call("bandwidth", &pod);
    let result = call.add(&with_prev_result(&bandwidth_config(keys.clone()), &attached));
    assert_eq!(tbf("cali1234"), Some((8_000_000, 100_000)));
    assert_eq!(alias("cali1234"), "weir-shaped container=c1 interface=eth0 network=pods");
    call.check(&bandwidth_config(keys.clone()), &result);
    call.del(&bandwidth_config(keys));
    // Neither plugin's DEL or GC takes it for one that weir made.
    let bridge =
        json!({"cniVersion": "1.1.0", "name": "pods", "type": "bridge", "cni.dev/valid-attachments": []});
    node.call("bridge", &pod).with("CNI_NETNS", "").del(&bridge);
    for plugin in ["bridge", "bandwidth"] {
        node.call(plugin, &pod).verb("GC", &bridge).unwrap();
    }
    assert!(tests::shell("ip -o link show cali1234").contains("cali1234"));
}

#[test]
fn a_foreign_alias_is_left_alone() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let attached = calico(&pod, "cali1234", "eth0");
    tests::shell("ip link set cali1234 alias theirs");
    let call = node.call("bandwidth", &pod);
    call.add(&with_prev_result(&bandwidth_config(requested(8_000_000, 800_000)), &attached));
    assert_eq!((alias("cali1234"), ifbs().len()), ("theirs".to_owned(), 1));
    call.del(&bandwidth_config(json!({})));
    assert!(ifbs().is_empty());
}

#[test]
fn two_interfaces_of_one_container_are_shaped_and_deleted_by_themselves() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let config = bandwidth_config(requested(8_000_000, 800_000));
    let lists = json!({"unshapedSubnets": ["10.0.0.0/8"]});
    for (name, interface) in [("cali0", "eth0"), ("cali1", "eth1")] {
        let attached = calico(&pod, name, interface);
        let call = node.call("bandwidth", &pod).with("CNI_IFNAME", interface);
        let mut config = with_prev_result(&config, &attached);
        config["unshapedSubnets"] = lists["unshapedSubnets"].clone();
        let result = call.add(&config);
        call.check(&config, &result);
        assert_eq!(result["interfaces"].as_array().unwrap().len(), 3);
    }
    assert_eq!(ifbs().len(), 2);
    for (interface, left) in [("eth1", 1), ("eth0", 0)] {
        node.call("bandwidth", &pod).with("CNI_IFNAME", interface).del(&config);
        assert_eq!(ifbs().len(), left, "{interface}");
    }
}

#[test]
fn another_device_than_a_veth_is_refused_with_the_supported_ones() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    pod.shell("ip link add eth0 type bridge");
    let attached = json!({"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": pod.netns()}]});
    let config = bandwidth_config(requested(8_000_000, 800_000));
    let failure =
        node.call("bandwidth", &pod).verb("ADD", &with_prev_result(&config, &attached)).unwrap_err();
    assert!(
        failure.message.contains("bridge device") && failure.message.contains("veth pairs"),
        "{failure:?}"
    );
    // Without a limit it is none of the plugin's business.
    let unlimited = bandwidth_config(json!({}));
    let result = node.call("bandwidth", &pod).add(&with_prev_result(&unlimited, &attached));
    node.call("bandwidth", &pod).check(&unlimited, &result);
}

#[test]
fn gc_removes_devices_of_invalid_attachments_and_no_others() {
    let setting = Setting::new();
    setting.shape(requested(8_000_000, 800_000));
    let used = ifbs();
    // An ADD of the reference may be at work on the one; the other is another tool's.
    tests::shell("ip link add bwp0123456789ab up type ifb; ip link add bwp-of-mine up type ifb");
    let others = ["bwp-of-mine", "bwp0123456789ab"];
    let gc = |valid: Value| {
        let config = bandwidth_config(json!({"cni.dev/valid-attachments": valid}));
        setting.call().verb("GC", &config).unwrap();
    };
    gc(json!([{"containerID": "c1", "ifname": "eth0"}]));
    let mut left = ifbs();
    left.retain(|name| !others.contains(&name.as_str()));
    assert_eq!(left, used);
    gc(json!([]));
    let mut left = ifbs();
    left.sort();
    assert_eq!(left, others);
}

#[test]
fn check_fails_when_shaping_was_removed_or_altered() {
    let setting = Setting::new();
    let keys = requested(8_000_000, 800_000);
    setting.shape(keys.clone());
    let (host_end, ifb) = (setting.host_end(), ifbs().pop().unwrap());
    let says = |command: &str, words: &[&str]| {
        tests::shell(command);
        let failure = setting.check(keys.clone()).unwrap_err();
        assert!(words.iter().all(|word| failure.message.contains(word)), "{command}: {failure:?}");
    };
    says(
        &format!("tc qdisc change dev {ifb} root handle 1: tbf rate 9mbit burst 100000 limit 125000"),
        &[&ifb, "rate", "1125000"],
    );
    says(&format!("tc qdisc del dev {ifb} root"), &[&ifb, "not shaped"]);
    says(&format!("nft delete chain netdev weir {host_end}"), &["egress", "nothing redirects its packets"]);
    says(&format!("ip link del {ifb}"), &["egress", "ifb device is gone"]);
    says(&format!("tc qdisc del dev {host_end} root"), &[&host_end, "not shaped"]);
    setting.delete();
}

#[test]
fn check_accepts_a_filter_that_was_made_for_another_mtu() {
    for keys in [
        // Two packets and ten; a burst that was raised to one packet.
        requested(1_000_000, 4_294_967_295),
        requested(8_000_000, 800),
    ] {
        let setting = Setting::new();
        setting.shape(keys.clone());
        let (host_end, ifb) = (setting.host_end(), ifbs().pop().unwrap());
        for mtu in [1400, 9000, 1500] {
            tests::shell(&format!("ip link set {host_end} mtu {mtu}"));
            setting.check(keys.clone()).unwrap();
        }
        tests::shell(&format!("tc qdisc change dev {ifb} root tbf rate 1mbit burst 3028 limit 20000"));
        setting.check(keys.clone()).unwrap_err();
        setting.delete();
    }
}

#[test]
fn an_add_that_fails_midway_leaves_a_pair_of_another_plugin_as_it_was() {
    // Both possible names of the second device are taken.
    let taken = "for of in podsc1 podsc1eth0; do \
                 ip link add bwp$(printf $of | sha512sum | cut -c-12) type bridge; done";
    let theirs = "tc qdisc add dev cali1234 clsact; \
                  tc filter add dev cali1234 egress pref 5 protocol ip u32 match u32 0 0 flowid 1:2";
    for before in ["true", theirs] {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let attached = calico(&pod, "cali1234", "eth0");
        tests::shell(taken);
        tests::shell(before);
        let filters =
            || ["ingress", "egress"].map(|hook| tests::shell(&format!("tc filter show dev cali1234 {hook}")));
        let (node_before, filters_before) = (node.fingerprint(), filters());
        let mut keys = requested(8_000_000, 800_000);
        keys["unshapedSubnets"] = json!(["10.0.0.0/8", "fd00::/8"]);
        let failure = node
            .call("bandwidth", &pod)
            .verb("ADD", &with_prev_result(&bandwidth_config(keys), &attached))
            .unwrap_err();
        assert!(failure.message.contains("bwp"), "{failure:?}");
        assert_eq!(node.fingerprint(), node_before, "after {failure:?}");
        assert_eq!(filters(), filters_before);
    }
}
