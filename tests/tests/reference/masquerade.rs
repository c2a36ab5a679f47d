//! `ipMasq` of a pod that the reference attached: our DEL and GC take it away with the pod. And what its DEL
//! leaves of ours.

use std::process::Output;

use serde_json::{Value, json};
use tests::config::{bridge, changed, host_local};
use tests::{Call, Look, Node, Pod, with_prev_result};

use crate::Set;

fn config() -> Value {
    let ipam = host_local(&["10.244.0.0/24", "fd00:244::/64"]);
    bridge(json!({"cniVersion": "1.0.0", "isGateway": true, "ipMasq": true, "ipam": ipam}))
}

/// The flavours of `iptables` of one kind, `nft` or `legacy`, for the reference to find.
pub(crate) fn iptables(node: &Node, kind: &str) -> String {
    node.look(&format!(
        "mkdir -p /mnt/{kind}; \
         for name in iptables ip6tables; do ln -sf /usr/sbin/xtables-{kind}-multi /mnt/{kind}/$name; done"
    ));
    format!("/mnt/{kind}")
}

/// A call of the reference's `bridge`, which uses this kind of iptables.
fn reference(node: &Node, kind: &str, pod: &Pod) -> Call {
    let [_, reference] = Set::both(node);
    reference.call(node, "bridge", pod).with("PATH", iptables(node, kind))
}

/// All that masquerades, and the rest of the firewall.
fn firewall(node: &Node) -> String {
    let counters = "sed '/^#/d; s/\\[[0-9:]*\\]//'";
    node.look(&format!(
        "nft -a list ruleset 2>/dev/null; for save in iptables-nft-save ip6tables-nft-save; do $save | {counters}; done"
    ))
}

/// The table `nat`, as `iptables-legacy-save` shows it.
fn legacy(node: &Node) -> String {
    node.look(
        "for save in iptables-legacy-save ip6tables-legacy-save; do \
         $save -t nat | sed '/^#/d; s/\\[[0-9:]*\\]//'; done",
    )
}

/// A node where the reference masquerades a pod "c9", and how its firewall looks.
fn beside_another(kind: &str) -> (Node, Pod, String) {
    let (node, other) = (Node::new(), Pod::new("c9"));
    reference(&node, kind, &other).add(&config());
    let before = if kind == "legacy" { legacy(&node) } else { firewall(&node) };
    assert_eq!(before.matches("-j CNI-").count(), 2, "{before}");
    (node, other, before)
}

fn stderr(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn iptables_masquerading_is_removed_with_and_without_namespace_and_result() {
    for netns in [true, false] {
        for with_result in [true, false] {
            let (node, _other, before) = beside_another("nft");
            let pod = Pod::new("c1");
            let result = reference(&node, "nft", &pod).add(&config());
            assert_eq!(firewall(&node).matches("-j CNI-").count(), 4);
            let call = node.call("bridge", &pod);
            let call = if netns { call } else { call.with("CNI_NETNS", "") };
            let config = if with_result { with_prev_result(&config(), &result) } else { config() };
            for _ in 0..2 {
                let notes = stderr(call.raw("DEL", &config.to_string()));
                assert_eq!(firewall(&node), before, "netns: {netns}, prevResult: {with_result}");
                assert_eq!(notes, "");
            }
        }
    }
}

#[test]
fn many_go_at_once_and_each_of_them_twice() {
    let (node, _other, before) = beside_another("nft");
    let pods: Vec<_> = (0..8).map(|number| Pod::new(&format!("c{number}"))).collect();
    pods.iter().for_each(|pod| drop(reference(&node, "nft", pod).add(&config())));
    let calls: Vec<_> = pods.iter().flat_map(|pod| [(); 2].map(|()| node.call("bridge", pod))).collect();
    let running: Vec<_> = calls.iter().map(|call| call.start("DEL", &config())).collect();
    running.into_iter().for_each(|running| drop(running.answer().unwrap()));
    assert_eq!(firewall(&node), before);
}

#[test]
fn del_with_a_config_without_masquerading_leaves_nothing_behind() {
    for netns in [true, false] {
        let (node, _other, before) = beside_another("nft");
        let pod = Pod::new("c1");
        let result = reference(&node, "nft", &pod).add(&config());
        let call = node.call("bridge", &pod);
        let call = if netns { call } else { call.with("CNI_NETNS", "") };
        let now = changed(&config(), json!({"ipMasq": false}));
        call.del(&if netns { now } else { with_prev_result(&now, &result) });
        assert_eq!(firewall(&node), before, "netns: {netns}");
    }
}

/// The reference names the chain by the network's name and the container's ID one after the other: two may have
/// the same.
#[test]
fn a_chain_that_two_containers_share_keeps_the_others_rules() {
    let (node, pod, other) = (Node::new(), Pod::new("1c"), Pod::new("c"));
    let [ours, theirs] = [
        config(),
        changed(
            &config(),
            json!({"name": "pods1", "bridge": "cni1", "ipam": host_local(&["10.9.0.0/24", "fd00:9::/64"])}),
        ),
    ];
    reference(&node, "nft", &other).add(&theirs);
    let before = firewall(&node);
    reference(&node, "nft", &pod).add(&ours);
    assert_eq!(firewall(&node).matches("\n:CNI-").count(), 2, "{}", firewall(&node));
    node.call("bridge", &pod).del(&ours);
    assert_eq!(firewall(&node), before);
    node.call("bridge", &other).del(&theirs);
    assert!(!firewall(&node).contains("CNI-"));
}

/// The rules of the reference's nftables backend (from its version 1.6 on) for a pod of network `pods`.
fn backend(node: &Node, id: &str, address: &str) {
    let hash = |text: &str| node.look(&format!("printf {text} | sha512sum | head -c 16"));
    let (network, instance) = (hash("pods"), hash(&format!("eth0:{id}")));
    let table = "inet cni_plugins_masquerade";
    node.look(&format!(
        "nft 'add table {table} {{ comment \"Masquerading for plugins from github.com/containernetworking/plugins\"; }}; \
         add chain {table} masq_checks; \
         add chain {table} postrouting {{ type nat hook postrouting priority srcnat; }}; \
         flush chain {table} postrouting; \
         add rule {table} postrouting ip daddr == 224.0.0.0/4 return; \
         add rule {table} postrouting ip6 daddr == ff00::/8 return; \
         add rule {table} postrouting goto masq_checks; \
         add rule {table} masq_checks ip saddr == {address} ip daddr != 10.244.0.0/24 masquerade \
             comment \"{network}-{instance}, net: pods, if: eth0, id: {id}\"'"
    ));
}

/// The containers of the rules of the reference's nftables backend.
fn backend_containers(node: &Node) -> String {
    node.look(
        "nft list table inet cni_plugins_masquerade | sed -n 's/.*, id: \\([^\"]*\\)\".*/\\1/p' | xargs",
    )
}

#[test]
fn masquerading_of_the_nftables_backend_is_removed() {
    for netns in [true, false] {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        backend(&node, "c9", "10.244.0.9");
        backend(&node, "c10", "10.244.0.10");
        let without = changed(&config(), json!({"ipMasq": false}));
        Set::both(&node)[1].call(&node, "bridge", &pod).add(&without);
        backend(&node, "c1", "10.244.0.2");
        assert_eq!(backend_containers(&node), "c9 c10 c1\n");
        let call = node.call("bridge", &pod);
        let call = if netns { call } else { call.with("CNI_NETNS", "") };
        for _ in 0..2 {
            call.del(&config());
            assert_eq!(backend_containers(&node), "c9 c10\n", "netns: {netns}");
        }
    }
}

#[test]
fn gc_removes_masquerading_of_pods_that_are_not_valid() {
    let (node, other, before) = beside_another("nft");
    let elsewhere = changed(
        &config(),
        json!({"name": "elsewhere", "bridge": "cni1", "ipam": host_local(&["10.9.0.0/24", "fd00:9::/64"])}),
    );
    let gone = Pod::new("c1");
    reference(&node, "nft", &gone).add(&config());
    let foreign = Pod::new("c1");
    reference(&node, "nft", &foreign).add(&elsewhere);
    backend(&node, "c9", "10.244.0.2");
    backend(&node, "c1", "10.244.0.3");
    let gc = changed(
        &config(),
        json!({
            "cniVersion": "1.1.0",
            "cni.dev/valid-attachments": [{"containerID": other.id(), "ifname": "eth0"}],
        }),
    );
    node.call("bridge", &gone).verb("GC", &gc).unwrap();
    assert_eq!(backend_containers(&node), "c9\n");
    let saved = firewall(&node);
    assert_eq!(saved.matches("name: \\\"elsewhere\\\" id: \\\"c1\\\"").count(), 6, "{saved}");
    node.call("bridge", &foreign).del(&elsewhere);
    node.look("nft delete table inet cni_plugins_masquerade");
    assert_eq!(firewall(&node), before);
}

#[test]
fn iptables_legacy_is_named_in_a_note_with_the_commands_that_mend_it() {
    let (node, _other, before) = beside_another("legacy");
    let pod = Pod::new("c1");
    let result = reference(&node, "legacy", &pod).add(&config());
    let notes =
        stderr(node.call("bridge", &pod).raw("DEL", &with_prev_result(&config(), &result).to_string()));
    assert_eq!(notes.lines().count(), 2, "{notes}");
    assert!(notes.contains("container c1"), "{notes}");
    for note in notes.lines() {
        let (_, commands) = note.split_once("To remove it: ").unwrap();
        node.look(commands);
    }
    assert_eq!(legacy(&node), before);
}

#[test]
fn a_pod_of_weirs_causes_no_note() {
    let (node, _other, _) = beside_another("legacy");
    let pod = Pod::new("c1");
    let result = node.call("bridge", &pod).add(&config());
    // The second time nothing is there, as when `bandwidth` took the pair along.
    for _ in 0..2 {
        let call = node.call("bridge", &pod);
        assert_eq!(stderr(call.raw("DEL", &with_prev_result(&config(), &result).to_string())), "");
    }
}

#[test]
fn the_references_second_del_of_weirs_pod_succeeds_and_weirs_gc_removes_the_rest() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let result = node.call("bridge", &pod).add(&config());
    let call = reference(&node, "nft", &pod);
    call.verb("DEL", &with_prev_result(&config(), &result)).unwrap_err();
    call.del(&with_prev_result(&config(), &result));
    assert!(firewall(&node).contains("pods/c1/eth0"));
    let gc = json!({"cniVersion": "1.1.0", "cni.dev/valid-attachments": []});
    node.call("bridge", &pod).verb("GC", &changed(&config(), gc)).unwrap();
    assert!(!firewall(&node).contains("pods/c1/eth0"));
}
