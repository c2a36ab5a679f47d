//! DEL removes what there is, whatever is missing.

use serde_json::{Value, json};
use tests::config::{bridge, changed};
use tests::{Look, Node, Pod, with_prev_result};

/// A node on which the network was used before, so that its bridge is there, and how that looks.
fn used(config: &Value) -> (Node, String) {
    let (node, pod) = (Node::new(), Pod::new("c0"));
    node.call("bridge", &pod).add(config);
    node.call("bridge", &pod).del(config);
    let before = node.fingerprint();
    (node, before)
}

fn config() -> Value {
    bridge(json!({"isDefaultGateway": true, "ipMasq": true}))
}

#[test]
fn del_removes_everything_and_a_second_del_succeeds() {
    let (node, before) = used(&config());
    let pod = Pod::new("c1");
    let call = node.call("bridge", &pod);
    let result = call.add(&config());
    assert_ne!(node.fingerprint(), before);
    for _ in 0..3 {
        call.del(&with_prev_result(&config(), &result));
        assert_eq!(node.fingerprint(), before);
        assert!(pod.links().is_empty());
    }
}

#[test]
fn del_needs_neither_namespace_nor_earlier_result() {
    for netns in ["", "/run/netns/gone", "/etc/hostname"] {
        let (node, before) = used(&config());
        let pod = Pod::new("c1");
        node.call("bridge", &pod).add(&config());
        node.call("bridge", &pod).with("CNI_NETNS", netns).del(&config());
        assert_eq!(node.fingerprint(), before, "CNI_NETNS={netns}");
        assert!(pod.links().is_empty());
    }
}

#[test]
fn del_continues_without_an_unreadable_prev_result() {
    let (node, before) = used(&config());
    let pod = Pod::new("c1");
    node.call("bridge", &pod).add(&config());
    node.call("bridge", &pod).del(&with_prev_result(&config(), &json!({"ips": 7})));
    assert_eq!(node.fingerprint(), before);
}

#[test]
fn del_after_the_namespace_went_releases_the_rest() {
    let (node, before) = used(&config());
    let pod = Pod::new("c1");
    node.call("bridge", &pod).add(&config());
    let netns = pod.netns();
    let same_id = Pod::new("c1");
    drop(pod);
    node.call("bridge", &same_id).with("CNI_NETNS", netns).del(&config());
    assert_eq!(node.fingerprint(), before);
}

#[test]
fn del_before_any_add_succeeds() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let before = node.fingerprint();
    node.call("bridge", &pod).del(&config());
    node.call("bridge", &pod).with("CNI_NETNS", "").del(&config());
    assert_eq!(node.fingerprint(), before);
    assert!(!std::path::Path::new("/var/lib/cni").exists());
}

#[test]
fn del_finds_the_pair_after_the_config_was_changed() {
    for changes in [
        json!({"bridge": "cni7"}),
        json!({"ipMasq": false, "isDefaultGateway": false}),
        json!({"mtu": 9, "hairpinMode": true, "promiscMode": true, "vlan": 7}),
        json!({"bridge": 7, "isGateway": "what"}),
    ] {
        let (node, before) = used(&config());
        let pod = Pod::new("c1");
        node.call("bridge", &pod).add(&config());
        node.call("bridge", &pod).with("CNI_NETNS", "").del(&changed(&config(), changes));
        assert_eq!(node.fingerprint(), before);
    }
}

#[test]
fn del_of_one_interface_leaves_the_others_alone() {
    let (node, pod, other) = (Node::new(), Pod::new("c1"), Pod::new("c2"));
    let eth1 = || node.call("bridge", &pod).with("CNI_IFNAME", "eth1");
    let results = [
        node.call("bridge", &other).add(&config()),
        eth1().add(&config()),
        node.call("bridge", &pod).add(&config()),
    ];
    node.call("bridge", &pod).del(&config());
    node.call("bridge", &other).check(&config(), &results[0]);
    eth1().check(&config(), &results[1]);
}

#[test]
fn a_foreign_veth_is_never_touched() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let call = node.call("bridge", &pod);
    call.add(&config());
    let name = node.ports("cni0").remove(0);
    call.del(&config());

    // The very name that this attachment had, and one that looks like it, in the same bridge.
    node.look(&format!(
        "ip link add {name} type veth peer name peer0; ip link set {name} master cni0; \
         ip link add veth00000000 type veth peer name peer1; ip link set veth00000000 master cni0 alias 'uplink'",
    ));
    let before = node.fingerprint();
    call.del(&config());
    call.with("CNI_NETNS", "").del(&config());
    assert_eq!(node.fingerprint(), before);

    let call = node.call("bridge", &pod);
    let result = call.add(&config());
    assert_ne!(result["interfaces"][1]["name"], json!(name));
    call.check(&config(), &result);
    node.call("bridge", &pod).with("CNI_NETNS", "").del(&config());
    assert_eq!(node.fingerprint(), before);
    assert!(pod.links().is_empty());
}

#[test]
fn another_interface_of_the_pod_than_a_veth_stays() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    pod.look("ip link add eth0 type ifb");
    node.call("bridge", &pod).del(&config());
    assert_eq!(pod.links(), ["eth0"]);
}

#[test]
fn the_longest_names_that_kubernetes_has_are_found_again() {
    let (node, before) = used(&config());
    let pod = Pod::new(&"0123456789abcdef".repeat(4));
    let call = || {
        let arguments = format!("K8S_POD_NAMESPACE={};K8S_POD_NAME={}", "n".repeat(63), "p".repeat(253));
        node.call("bridge", &pod).with("CNI_ARGS", arguments).with("CNI_IFNAME", "net-123456789ab")
    };
    let config = changed(&config(), json!({"cniVersion": "1.1.0"}));
    let result = call().add(&config);
    call().check(&config, &result);
    call().with("CNI_ARGS", "").with("CNI_NETNS", "").del(&config);
    assert_eq!(node.fingerprint(), before);

    call().add(&config);
    call().verb("GC", &changed(&config, json!({"cni.dev/valid-attachments": []}))).unwrap();
    assert_eq!(node.fingerprint(), before);
}

#[test]
fn del_without_a_namespace_finds_a_pair_with_a_changed_alias() {
    let (node, before) = used(&config());
    let pod = Pod::new("c1");
    node.call("bridge", &pod).add(&config());
    let veth = node.ports("cni0").remove(0);
    node.look(&format!("ip link set {veth} alias 'port of the shop'"));
    node.call("bridge", &pod).with("CNI_NETNS", "").del(&config());
    assert_eq!(node.fingerprint(), before);
    assert!(pod.links().is_empty());
}

#[test]
fn del_reports_an_unreadable_ipam_config_at_its_end() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.call("bridge", &pod).add(&config());
    let failure =
        node.call("bridge", &pod).verb("DEL", &changed(&config(), json!({"ipam": {"type": 7}}))).unwrap_err();
    assert!(failure.message.contains("ipam.type") && failure.message.contains('7'), "{failure:?}");
    assert!(pod.links().is_empty());
}
