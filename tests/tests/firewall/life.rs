//! ADD, DEL, CHECK and GC of one pod, beside others.

use serde_json::{Value, json};
use tests::config::changed;
use tests::{Look, Node};

use super::{Network, iptables, says, unattached};

pub(super) const ADDRESSES: [&str; 2] = ["10.1.2.3/24", "fd00::3/64"];

#[test]
fn del_removes_everything_with_and_without_result_and_namespace_and_twice() {
    let node = Node::new();
    let (_other, call, config) = unattached(&node, "c9", &["10.1.2.9/24", "fd00::9/64"]);
    call.add(&config);
    let before = (iptables(&node), node.fingerprint());
    for has_result in [true, false] {
        for has_netns in [true, false] {
            let (_pod, call, config) = unattached(&node, "c1", &ADDRESSES);
            call.add(&config);
            assert_eq!(iptables(&node).matches("10.1.2.3/32").count(), 2);
            assert_eq!(iptables(&node).matches("fd00::3/128").count(), 2);
            let call = if has_netns { call } else { call.with("CNI_NETNS", "") };
            let config = if has_result { config } else { changed(&config, json!({"prevResult": null})) };
            for _ in 0..2 {
                call.del(&config);
                assert_eq!((iptables(&node), node.fingerprint()), before, "{has_result} {has_netns}");
            }
        }
    }
}

#[test]
fn del_before_any_add_changes_nothing() {
    let node = Node::new();
    let before = node.fingerprint();
    let (_pod, call, config) = unattached(&node, "c1", &ADDRESSES);
    call.del(&config);
    assert_eq!(node.fingerprint(), before);
}

#[test]
fn a_del_of_a_pod_that_is_gone_leaves_the_rules_of_the_next_with_its_address() {
    let node = Node::new();
    let (_first, first, config) = unattached(&node, "c1", &ADDRESSES);
    first.add(&config);
    first.del(&config);
    let (_second, second, its_config) = unattached(&node, "c2", &ADDRESSES);
    second.add(&its_config);
    first.del(&config);
    second.verb("CHECK", &its_config).map(drop).unwrap();
}

#[test]
fn a_repeated_add_leaves_each_rule_once_and_replaces_addresses() {
    let node = Node::new();
    let (_pod, call, config) = unattached(&node, "c1", &ADDRESSES);
    call.add(&config);
    let once = iptables(&node);
    call.add(&config);
    assert_eq!(iptables(&node), once);
    let (_again, call, config) = unattached(&node, "c1", &["10.1.2.4/24"]);
    call.add(&config);
    assert!(
        !iptables(&node).contains("10.1.2.3") && !iptables(&node).contains("fd00::3"),
        "{}",
        iptables(&node)
    );
    assert_eq!(iptables(&node).matches("10.1.2.4/32").count(), 2);
}

#[test]
fn del_looks_for_rules_that_a_record_without_handles_does_not_name() {
    let node = Node::new();
    let (_pod, call, config) = unattached(&node, "c1", &ADDRESSES);
    call.add(&config);
    node.look(
        "nft list table inet weir-firewall > /mnt/table; nft delete table inet weir-firewall; nft -f /mnt/table",
    );
    call.del(&config);
    assert!(!iptables(&node).contains("-j ACCEPT"), "{}", iptables(&node));
    assert!(!node.look("nft list table inet weir-firewall").contains("pods/c1"));
}

#[test]
fn a_repeated_add_replaces_rules_that_were_restored() {
    let node = Node::new();
    let (_pod, call, config) = unattached(&node, "c1", &ADDRESSES);
    call.add(&config);
    node.look(
        "for ip in iptables ip6tables; do $ip-nft-save > /mnt/rules; $ip-nft-restore < /mnt/rules; done",
    );
    call.add(&config);
    assert_eq!(iptables(&node).matches("-j ACCEPT").count(), 4, "{}", iptables(&node));
    call.del(&config);
    assert!(!iptables(&node).contains("-j ACCEPT"), "{}", iptables(&node));
}

#[test]
fn many_first_adds_at_once_make_each_jump_once_and_many_dels_leave_nothing() {
    let node = Node::new();
    let pods: Vec<_> = (1..=24)
        .map(|number| {
            let addresses = [format!("10.1.2.{number}/24"), format!("fd00::{number}/64")];
            unattached(&node, &format!("c{number}"), &addresses.each_ref().map(String::as_str))
        })
        .collect();
    let all = |verb: &str| {
        let running: Vec<_> = pods.iter().map(|(_, call, config)| call.start(verb, config)).collect();
        running.into_iter().for_each(|call| drop(call.answer().unwrap()));
        iptables(&node)
    };
    let during = all("ADD");
    let count =
        |text: &str| ["-j CNI-FORWARD", "-j CNI-ADMIN", "-j ACCEPT"].map(|it| text.matches(it).count());
    assert_eq!(count(&during), [2, 2, 4 * 24], "{during}");
    assert_eq!(count(&all("CHECK")), count(&during));
    assert_eq!(count(&all("DEL")), [2, 2, 0]);
    assert!(!node.look("nft list ruleset").contains("pods/c"));
}

#[test]
fn a_node_with_firewalld_is_told_before_its_first_pod() {
    let node = Node::new();
    node.look("nft add table inet firewalld; nft add chain inet firewalld filter_FORWARD");
    for (id, is_told) in [("c1", true), ("c2", false)] {
        let (_pod, call, config) = unattached(&node, id, &["10.1.2.3/24"]);
        let output = call.raw("ADD", &config.to_string());
        assert!(output.status.success());
        let notes = String::from_utf8(output.stderr).unwrap();
        assert_eq!(notes.contains("firewall-cmd"), is_told, "{notes}");
    }
}

#[test]
fn rules_of_an_administrator_for_the_pods_address_stay() {
    let node = Node::new();
    let (_pod, call, config) = unattached(&node, "c1", &ADDRESSES);
    call.add(&config);
    call.del(&config);
    for rule in [
        "-d 10.1.2.3 -m comment --comment 'admin: web' -j ACCEPT",
        "-s 10.1.2.3 -m comment --comment 'admin: web' -j ACCEPT",
        "-d 10.1.2.3 -m conntrack --ctstate NEW -j ACCEPT",
        "-d 10.1.2.3 -m conntrack ! --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-d 10.1.2.3 -m conntrack --ctstate RELATED,ESTABLISHED --ctdir REPLY -j ACCEPT",
    ] {
        node.look(&format!("iptables-nft -A CNI-FORWARD {rule}"));
    }
    let before = iptables(&node);
    assert_eq!(before.matches("-j ACCEPT").count(), 5, "{before}");
    call.add(&config);
    for _ in 0..2 {
        call.del(&config);
        assert_eq!(iptables(&node), before);
    }
}

#[test]
fn check_does_not_take_the_rule_of_an_administrator_for_the_pods() {
    let node = Node::new();
    let (_pod, call, config) = unattached(&node, "c1", &["10.1.2.3/24"]);
    call.add(&config);
    node.look(
        "answers='-d 10.1.2.3 -m conntrack --ctstate'; \
         iptables-nft -D CNI-FORWARD $answers RELATED,ESTABLISHED -j ACCEPT; \
         iptables-nft -A CNI-FORWARD $answers NEW -j ACCEPT",
    );
    says(&call.verb("CHECK", &config).unwrap_err(), 999, &["10.1.2.3", "CNI-FORWARD"]);
}

/// Handles start again in a table that is made anew.
#[test]
fn rules_of_others_with_the_recorded_handles_stay() {
    let node = Node::new();
    let (_pod, call, config) = unattached(&node, "c1", &["10.1.2.3/24"]);
    call.add(&config);
    node.look(
        "nft delete table ip filter; iptables-nft -N CNI-FORWARD; \
         for last in $(seq 20); do iptables-nft -A CNI-FORWARD -s 10.99.0.$last -j ACCEPT; done",
    );
    let before = iptables(&node);
    assert_eq!(before.matches("-j ACCEPT").count(), 20);
    call.del(&config);
    assert_eq!(iptables(&node), before);
}

pub(super) fn gc(network: &str, valid: &[&str]) -> Value {
    let valid: Vec<_> = valid.iter().map(|id| json!({"containerID": id, "ifname": "eth0"})).collect();
    json!({"cniVersion": "1.1.0", "name": network, "type": "firewall", "cni.dev/valid-attachments": valid})
}

#[test]
fn gc_removes_what_is_of_no_valid_attachment_of_its_network() {
    let node = Node::new();
    let pods = ["c1", "c2", "c3"].map(|id| {
        let address = format!("10.1.2.{}/24", &id[1..]);
        let (pod, call, config) = unattached(&node, id, &[&address]);
        let config = if id == "c3" { changed(&config, json!({"name": "others"})) } else { config };
        call.add(&config);
        (pod, call)
    });
    let call = &pods[0].1;
    call.verb("GC", &gc("nobodys", &[])).map(drop).unwrap();
    assert_eq!(iptables(&node).matches("-j ACCEPT").count(), 6);
    call.verb("GC", &gc("pods", &["c1"])).map(drop).unwrap();
    let left = iptables(&node);
    assert!(
        left.contains("10.1.2.1/32") && !left.contains("10.1.2.2/32") && left.contains("10.1.2.3/32"),
        "{left}"
    );
}

#[test]
fn gc_spares_a_pod_in_which_processes_live() {
    let node = Node::new();
    let network = Network::new("br1", 61, json!({}));
    let [running, idle] = ["c1", "c2"].map(|id| network.attach(&node, node.bin(), id));
    let mut process = running.pod.command("exec sleep 1000").spawn().unwrap();
    tests::eventually("the process is in the pod", || {
        let own = std::fs::read_link(format!("/proc/{}/ns/net", process.id()));
        own.is_ok_and(|own| own == std::fs::read_link(running.pod.netns()).unwrap())
    });
    running.call(node.bin()).verb("GC", &gc("br1", &[])).map(drop).unwrap();
    let left = iptables(&node);
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(
        left.contains(&running.addresses[0]) && !left.contains(&format!("{}/", idle.addresses[0])),
        "{left}"
    );
}

#[test]
fn check_sees_what_is_missing() {
    for (damage, words) in [
        ("iptables-nft -F FORWARD", &["FORWARD", "ip filter"][..]),
        ("ip6tables-nft -F FORWARD", &["FORWARD", "ip6 filter"]),
        ("iptables-nft -D CNI-FORWARD -s 10.1.2.3/32 -j ACCEPT", &["10.1.2.3", "CNI-FORWARD"]),
        ("ip6tables-nft -D CNI-FORWARD -s fd00::3/128 -j ACCEPT", &["fd00::3", "CNI-FORWARD"]),
        ("ip6tables-nft -F CNI-FORWARD", &["CNI-FORWARD", "CNI-ADMIN", "ip6 filter"]),
        ("nft flush ruleset", &["FORWARD"]),
    ] {
        let node = Node::new();
        let (_pod, call, config) = unattached(&node, "c1", &ADDRESSES);
        call.add(&config);
        call.verb("CHECK", &config).map(drop).unwrap();
        node.look(damage);
        says(&call.verb("CHECK", &config).unwrap_err(), 999, words);
        // The next ADD repairs it for all.
        let (_pod, next, its_config) = unattached(&node, "c2", &["10.1.2.4/24", "fd00::4/64"]);
        next.add(&its_config);
        next.verb("CHECK", &its_config).map(drop).unwrap();
        call.del(&config);
        assert!(!iptables(&node).contains("10.1.2.3"), "{damage}: {}", iptables(&node));
    }
}

#[test]
fn status_is_ready() {
    let node = Node::new();
    let (_pod, call, _) = unattached(&node, "c1", &[]);
    let config = json!({"cniVersion": "1.1.0", "name": "pods", "type": "firewall"});
    call.verb("STATUS", &config).map(drop).unwrap();
    let failure = call.verb("STATUS", &changed(&config, json!({"ingressPolicy": "bogus"}))).unwrap_err();
    says(&failure, 50, &["ingressPolicy", "bogus"]);
    assert!(!node.fingerprint().contains("CNI-FORWARD"));
}
