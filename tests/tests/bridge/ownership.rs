//! Ownership: a namespace's path, an interface's name and index, an address may be another attachment's by now.

use serde_json::{Value, json};
use tests::config::{bridge, changed, host_local};
use tests::{Call, Look, Node, Pod, REFERENCE, eventually, with_prev_result};

fn config() -> Value {
    bridge(json!({"isGateway": true, "ipMasq": true, "macspoofchk": true}))
}

/// Without masquerading, for which the reference executes `iptables`.
fn plain() -> Value {
    bridge(json!({"isGateway": true}))
}

fn held(node: &Node) -> String {
    node.look("cd /var/lib/cni/networks/pods 2>/dev/null && grep -l . 10.* || true")
}

/// Attaches container `old`, deletes its namespace without a DEL, and returns its result.
fn lost(node: &Node, config: &Value) -> Value {
    let old = Pod::new("old");
    let result = node.call("bridge", &old).add(config);
    let name = result["interfaces"][1]["name"].as_str().unwrap().to_owned();
    drop(old);
    eventually("the kernel removes the namespace with its pair", || !node.links().contains(&name));
    result
}

/// A call for container `old`, whose path is `pod`'s by now.
fn late(node: &Node, pod: &Pod) -> Call {
    node.call("bridge", pod).with("CNI_CONTAINERID", "old")
}

#[test]
fn a_late_del_leaves_the_next_container_at_the_same_path_alone() {
    for with_result in [true, false] {
        let node = Node::new();
        let former = lost(&node, &config());
        let new = Pod::new("new");
        let result = node.call("bridge", &new).add(&config());
        let config_of_old = if with_result { with_prev_result(&config(), &former) } else { config() };
        for _ in 0..2 {
            late(&node, &new).del(&config_of_old);
            node.call("bridge", &new).check(&config(), &result);
        }
        assert_eq!(held(&node), "10.244.0.3\n", "the former container's address is free");
        assert!(!node.look("nft list ruleset").contains("pods/old/eth0"));
    }
}

#[test]
fn a_late_del_leaves_the_references_attachment_alone() {
    for with_result in [true, false] {
        let node = Node::new();
        let former = lost(&node, &plain());
        let new = Pod::new("new");
        let theirs = || node.call_in(REFERENCE.as_ref(), "bridge", &new).with("CNI_PATH", REFERENCE);
        let result = theirs().add(&plain());
        let config_of_old = if with_result { with_prev_result(&plain(), &former) } else { plain() };
        // The second time the address may be another container's.
        for _ in 0..2 {
            late(&node, &new).del(&config_of_old);
            theirs().check(&plain(), &result);
        }
        node.call("bridge", &new).del(&plain());
        assert!(new.links().is_empty(), "its own DEL takes it");
    }
}

/// Networks with one subnet on bridges of their own are common: an address means something in its network only.
#[test]
fn a_late_del_leaves_the_references_attachment_to_another_network_with_the_same_address_alone() {
    let node = Node::new();
    let former = lost(&node, &plain());
    let (new, other) = (Pod::new("new"), bridge(json!({"name": "other", "bridge": "cni1"})));
    let theirs = || node.call_in(REFERENCE.as_ref(), "bridge", &new).with("CNI_PATH", REFERENCE);
    let result = theirs().add(&other);
    assert_eq!(result["ips"][0]["address"], former["ips"][0]["address"]);
    late(&node, &new).del(&with_prev_result(&plain(), &former));
    theirs().check(&other, &result);
}

#[test]
fn a_repeated_del_leaves_another_networks_interface_of_that_name_alone() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let other =
        changed(&config(), json!({"name": "other", "bridge": "cni1", "ipam": host_local(&["10.9.0.0/24"])}));
    let call = node.call("bridge", &pod);
    let former = call.add(&config());
    call.del(&with_prev_result(&config(), &former));
    let result = call.add(&other);
    for again in [with_prev_result(&config(), &former), config()] {
        call.del(&again);
        call.check(&other, &result);
    }
}

#[test]
fn an_interface_without_any_sign_of_the_container_stays() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let config = bridge(json!({"ipam": null}));
    pod.look("ip link add eth0 type veth peer name peer0; ip addr add 10.7.0.2/24 dev eth0");
    let call = node.call("bridge", &pod);
    let foreign = json!({
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:07", "sandbox": pod.netns()}],
        "ips": [{"address": "10.7.0.2/24"}],
    });
    for config in [config.clone(), with_prev_result(&config, &foreign)] {
        let output = call.raw("DEL", &config.to_string());
        assert!(output.status.success());
        let notes = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(notes.contains("c1") && notes.contains("\"eth0\"") && notes.contains("alone"), "{notes}");
        assert_eq!(pod.links().len(), 2);
    }
}

#[test]
fn the_alias_of_a_limit_names_the_owner_of_the_references_pair() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let config = bridge(json!({"ipam": null}));
    let theirs = node.call_in(REFERENCE.as_ref(), "bridge", &pod).with("CNI_PATH", REFERENCE);
    let result = theirs.add(&config);
    let limit = json!({"type": "bandwidth", "ingressRate": 1_000_000, "ingressBurst": 1_000_000});
    node.call("bandwidth", &pod).add(&with_prev_result(&changed(&config, limit), &result));
    node.call("bridge", &pod).with("CNI_CONTAINERID", "c2").del(&config);
    assert_eq!(pod.links(), ["eth0"]);
    node.call("bridge", &pod).del(&config);
    assert!(pod.links().is_empty());
}

#[test]
fn a_pair_with_renamed_ends_is_found_by_its_alias() {
    for (netns, rename) in [
        (true, "ip link set $port down name uplink7 up"),
        (false, "nsenter --net=$netns ip link set eth0 down name eth0-nic up"),
        (true, "nsenter --net=$netns ip link set eth0 down name eth0-nic up"),
    ] {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let call = node.call("bridge", &pod);
        call.add(&config());
        call.del(&config());
        let before = node.fingerprint();
        let result = call.add(&config());
        let port = node.ports("cni0").remove(0);
        node.look(&format!("port={port}; netns={}; {rename}", pod.netns()));
        if !rename.contains("uplink7") {
            let failure = call.verb("CHECK", &with_prev_result(&config(), &result)).unwrap_err();
            assert!(failure.message.contains("\"eth0\""), "{failure:?}");
        }
        let netns = if netns { pod.netns() } else { String::new() };
        node.call("bridge", &pod).with("CNI_NETNS", netns).del(&config());
        assert!(pod.links().is_empty(), "{rename}");
        assert_eq!(node.fingerprint(), before, "{rename}");
    }
}

#[test]
fn a_peer_in_a_third_namespace_is_not_taken_for_the_port_of_the_same_index() {
    let (node, live, pod, third) = (Node::new(), Pod::new("c1"), Pod::new("c2"), Pod::new("c3"));
    let config = bridge(json!({"ipam": null}));
    let result = node.call("bridge", &live).add(&config);
    let port = node.link(&node.ports("cni0")[0])["ifindex"].as_u64().unwrap();
    let index = live.link("eth0")["ifindex"].as_u64().unwrap();
    // The pod's end has the index that the live pod's has, and its peer in the third namespace the port's.
    node.look(&format!(
        "nsenter --net={} ip link add eth0 index {index} address {} type veth peer name peer0 netns {} index {port}",
        pod.netns(),
        result["interfaces"][2]["mac"].as_str().unwrap(),
        third.netns(),
    ));
    third.look("ip link set peer0 up");
    pod.look("ip link set eth0 up");
    let call = node.call("bridge", &pod);
    let failure = call.verb("CHECK", &with_prev_result(&config, &result)).unwrap_err();
    assert!(failure.message.contains("not a port"), "{failure:?}");
    call.del(&config);
    assert_eq!(pod.links(), ["eth0"]);
    node.call("bridge", &live).check(&config, &result);
}

/// A node with an IPAM plugin that gives a container the same address as often as it asks, and notes its calls.
fn idempotent() -> Node {
    Node::new().with_script(
        "idempotent",
        "echo \"$CNI_COMMAND\" >> /mnt/calls; \
         [ \"$CNI_COMMAND\" != ADD ] || echo '{\"cniVersion\": \"1.0.0\", \"ips\": [{\"address\": \"10.244.0.5/24\"}]}'",
    )
}

#[test]
fn a_repeated_add_does_not_release_the_live_attachments_address() {
    let (node, pod, other) = (idempotent(), Pod::new("c1"), Pod::new("c1"));
    let config = bridge(json!({"ipam": {"type": "idempotent"}}));
    let result = node.call("bridge", &pod).add(&config);
    for again in [&pod, &other] {
        let failure = node.call("bridge", again).verb("ADD", &config).unwrap_err();
        assert!(failure.message.contains("c1") && failure.message.contains("DEL"), "{failure:?}");
        assert_eq!(node.look("cat /mnt/calls"), "ADD\n");
    }
    node.call("bridge", &pod).check(&config, &result);
}

/// Calls that may do anything but change the network (`CAP_NET_ADMIN`), as in a container that lacks it.
fn without_net_admin(node: Node) -> Node {
    let bridge = node.bin().join("bridge");
    node.with_script("bridge", &format!("exec setpriv --bounding-set -net_admin {}", bridge.display()))
}

#[test]
fn an_address_stays_reserved_while_its_interface_may_be_there() {
    let config = plain();
    let strace = |fault: &str| format!("exec strace -qq -o /dev/null -e inject={fault} ");
    for (refused, rename) in [
        (None, false),
        // Every netlink request, and every way into the pod's namespace, which only a renamed port needs.
        (Some(strace("sendto:error=EPERM")), false),
        (Some(strace("setns:error=EPERM")), true),
    ] {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let whole = node.bin().to_owned();
        let result = node.call("bridge", &pod).add(&config);
        let port = node.ports("cni0").remove(0);
        if rename {
            node.look(&format!("ip link set {port} down name uplink7 up"));
        }
        let node = match &refused {
            None => without_net_admin(node),
            Some(strace) => node.with_script("bridge", &format!("{strace} {}/bridge", whole.display())),
        };
        let failure = node.call("bridge", &pod).verb("DEL", &with_prev_result(&config, &result)).unwrap_err();
        assert!(failure.message.contains("stay reserved"), "{refused:?}: {failure:?}");
        assert_eq!(held(&node), "10.244.0.2\n", "{refused:?}");
        // The next pod has another one, and the next DEL finishes.
        let next = Pod::new("c2");
        let other = node.call_in(&whole, "bridge", &next).add(&config);
        assert_eq!(other["ips"][0]["address"], "10.244.0.3/24");
        node.call_in(&whole, "bridge", &pod).del(&with_prev_result(&config, &result));
        assert_eq!(held(&node), "10.244.0.3\n");
        assert!(pod.links().is_empty());
    }
}
