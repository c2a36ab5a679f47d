//! What is forwarded under the firewalls that nodes have: by ours as by the reference's.

use serde_json::json;
use tests::{Look, Node};

use super::{Attached, Network, OUTSIDE, both, outside, reached};

const BOTH_FAMILIES: &str = "for iptables in iptables-nft ip6tables-nft; do";

/// Runs `check` with a pod of either implementation on a node of its own, which `prepare` was run on, and compares.
fn alike(prepare: &str, keys: serde_json::Value, expected: [bool; 4], then: &str) {
    for index in 0..2 {
        let node = Node::new();
        let outside = outside(&node);
        node.look(prepare);
        let network = Network::new("br1", 61, keys.clone());
        let attached = network.attach(&node, both(&node)[index], "c1");
        node.look(then);
        let mut found = attached.reached(&OUTSIDE, &expected[..2]);
        found.extend(reached(&outside, &attached.addresses, &expected[2..]));
        assert_eq!(found, expected, "{:?}: {}", both(&node)[index], node.look("nft list ruleset"));
    }
}

#[test]
fn without_a_firewall_nothing_changes() {
    alike("true", json!({}), [true; 4], "true");
}

/// Answers come in, connections from outside do not: as the reference has it.
#[test]
fn under_a_drop_policy_of_iptables_a_pod_reaches_the_outside() {
    let drops = format!("{BOTH_FAMILIES} $iptables -P FORWARD DROP; done");
    alike(&drops, json!({}), [true, true, false, false], "true");
}

#[test]
fn under_a_drop_policy_nothing_is_forwarded_before_add_and_after_del() {
    let node = Node::new();
    let _outside = outside(&node);
    node.look(&format!("{BOTH_FAMILIES} $iptables -P FORWARD DROP; done"));
    let attached = Network::new("br1", 61, json!({})).interface(&node, "c1");
    assert_eq!(attached.reached(&OUTSIDE, &[false; 2]), [false; 2]);
    attached.call(node.bin()).add(&attached.config);
    assert_eq!(attached.reached(&OUTSIDE, &[true; 2]), [true; 2]);
    attached.call(node.bin()).del(&attached.config);
    assert_eq!(attached.reached(&OUTSIDE, &[false; 2]), [false; 2]);
}

#[test]
fn beside_docker_a_pod_reaches_the_outside_and_an_earlier_chain_of_dockers_may_drop() {
    let docker = "$iptables -P FORWARD DROP; $iptables -N DOCKER-USER; $iptables -A DOCKER-USER -j RETURN";
    let before = format!("{BOTH_FAMILIES} {docker}; $iptables -A FORWARD -j DOCKER-USER; done");
    alike(&before, json!({}), [true, true, false, false], "true");
    // Docker starts after the pod, and inserts its chain before ours; then the administrator drops there.
    let after = format!("{BOTH_FAMILIES} {docker}; $iptables -I FORWARD -j DOCKER-USER; done");
    alike("true", json!({}), [true, true, false, false], &after);
    alike(
        "true",
        json!({}),
        [false; 4],
        &format!("{after}; iptables-nft -I DOCKER-USER -j DROP; ip6tables-nft -I DOCKER-USER -j DROP"),
    );
}

/// The rule drops what the pod asks, and its answers.
#[test]
fn rules_of_the_administrators_chain_come_first() {
    let drop = "iptables-nft -A CNI-ADMIN -d 192.0.2.2 -j DROP";
    alike("true", json!({}), [false, true, false, true], drop);
    // Of another name, with rules from before the first pod.
    let before = "iptables-nft -N NOMAD-ADMIN; iptables-nft -A NOMAD-ADMIN -d 192.0.2.2 -j DROP";
    alike(before, json!({"iptablesAdminChainName": "NOMAD-ADMIN"}), [false, true, false, true], "true");
}

/// An accept ends only its own chain. Neither implementation can do anything about this one.
#[test]
fn a_drop_in_a_table_of_another_program_stands() {
    let other = "nft add table inet other; nft add chain inet other forward '{ type filter hook forward priority 10; policy drop; }'";
    alike(other, json!({}), [false; 4], "true");
}

#[test]
fn pods_with_different_administrators_chains_share_a_node() {
    let node = Node::new();
    let _outside = outside(&node);
    let first = Network::new("br1", 61, json!({})).attach(&node, node.bin(), "c1");
    let named = json!({"iptablesAdminChainName": "NOMAD-ADMIN"});
    let second = Network::new("br2", 62, named).attach(&node, node.bin(), "c2");
    assert!(first.pod.reaches(OUTSIDE[0], 56) && second.pod.reaches(OUTSIDE[0], 56));
    node.look("iptables-nft -A NOMAD-ADMIN -d 192.0.2.2 -j DROP");
    let reached = |attached: &Attached<'_>| attached.reached(&OUTSIDE[..1], &[false]);
    assert_eq!([reached(&first), reached(&second)], [[false], [false]]);
    node.look("iptables-nft -F NOMAD-ADMIN; iptables-nft -A CNI-ADMIN -d 192.0.2.2 -j DROP");
    assert_eq!([reached(&first), reached(&second)], [[false], [false]]);
}
