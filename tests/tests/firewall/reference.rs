//! The reference's `firewall` and ours on one node, and `iptables` beside ours.

use serde_json::json;
use tests::{Look, Node};

use super::{Network, both, iptables};

fn network() -> Network {
    Network::new("br1", 61, json!({}))
}

#[test]
fn both_answer_alike_and_leave_the_same_rules() {
    let [ours, references] = [0, 1].map(|index| {
        let node = Node::new();
        let attached = network().interface(&node, "c1");
        let mut result = attached.call(both(&node)[index]).add(&attached.config);
        let mut unchanged = attached.result.clone();
        for result in [&mut result, &mut unchanged] {
            result["interfaces"] = json!(null);
        }
        assert_eq!(result["ips"], unchanged["ips"]);
        let during = iptables(&node);
        attached.call(both(&node)[index]).del(&attached.config);
        (result, during, iptables(&node))
    });
    assert_eq!(ours, references);
    assert!(ours.1.contains("-A CNI-FORWARD -s 10.61.0.2/32 -j ACCEPT"), "{}", ours.1);
}

#[test]
fn the_result_is_passed_on_as_it_is() {
    let node = Node::new();
    let attached = network().interface(&node, "c1");
    assert_eq!(attached.call(node.bin()).add(&attached.config), attached.result);
}

#[test]
fn either_del_removes_what_the_others_add_made_and_either_check_accepts_it() {
    let node = Node::new();
    let [ours, references] = both(&node);
    let other = network().attach(&node, ours, "c0");
    let before = iptables(&node);
    for (add, del) in [(ours, references), (references, ours)] {
        let attached = network().attach(&node, add, "c1");
        assert_ne!(iptables(&node), before);
        attached.call(del).verb("CHECK", &attached.config).map(drop).unwrap();
        attached.call(del).del(&attached.config);
        assert_eq!(iptables(&node), before);
        attached.call(ours).del(&attached.config);
        node.call("bridge", &attached.pod).del(&network().bridge());
    }
    other.call(ours).verb("CHECK", &other.config).map(drop).unwrap();
    assert_eq!(node.look("nft list set inet weir-firewall attachments").matches("br1/").count(), 1);
}

#[test]
fn iptables_lists_changes_saves_and_restores_the_tables() {
    let node = Node::new();
    let attached = network().attach(&node, node.bin(), "c1");
    let before = iptables(&node);
    node.look(
        "iptables-nft -S > /dev/null; iptables-nft -A CNI-FORWARD -s 10.9.9.9 -j DROP; \
         iptables-nft -D CNI-FORWARD -s 10.9.9.9 -j DROP; ip6tables-nft -A FORWARD -s fd99::9 -j DROP; \
         ip6tables-nft -D FORWARD -s fd99::9 -j DROP; iptables-nft -C CNI-FORWARD -s 10.61.0.2/32 -j ACCEPT; \
         iptables-nft -C CNI-FORWARD -d 10.61.0.2/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    );
    assert_eq!(iptables(&node), before);
    // As netfilter-persistent does. The rules lose their user data, and have other handles.
    node.look("iptables-nft-save > /mnt/saved; iptables-nft-restore < /mnt/saved");
    assert_eq!(iptables(&node), before);
    attached.call(node.bin()).verb("CHECK", &attached.config).map(drop).unwrap();
    attached.call(node.bin()).del(&attached.config);
    assert!(
        !iptables(&node).contains("10.61.0.2") && !iptables(&node).contains("fd00:61"),
        "{}",
        iptables(&node)
    );
}
