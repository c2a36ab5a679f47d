//! Which source the pod sees, and which packets a mapping takes.

use serde_json::json;
use tests::{Look, Node};

use super::service::{Place, ask, ask_once, serve};
use super::{
    GATEWAY, NODE, NODE_V6, OUTSIDE, OUTSIDE_V6, attached, config, forward, mapping, outside, rules,
};

#[test]
fn the_pod_sees_the_clients_address() {
    let node = Node::new();
    let outside = outside(&node);
    let (pod, result) = attached(&node, "c1");
    serve(Place::Pod(&pod), "c1", "tcp", "::", 80);
    forward(&node, &pod, &config(json!([mapping("tcp", 8080, 80)]), json!({})), &result).unwrap();
    let out = Place::Pod(&outside);
    assert_eq!(ask(out, "tcp", NODE, 8080), format!("c1 to {OUTSIDE}"));
    assert_eq!(ask(out, "tcp", NODE_V6, 8080), format!("c1 to {OUTSIDE_V6}"));
    assert_eq!(ask(Place::Pod(&pod), "tcp", NODE, 8080), format!("c1 to {GATEWAY}"));
}

#[test]
fn with_masq_all_the_pod_sees_the_nodes_address_only() {
    let node = Node::new();
    let outside = outside(&node);
    let (pod, result) = attached(&node, "c1");
    serve(Place::Pod(&pod), "c1", "tcp", "::", 80);
    forward(&node, &pod, &config(json!([mapping("tcp", 8080, 80)]), json!({"masqAll": true})), &result)
        .unwrap();
    for (place, address, seen) in [
        (Place::Pod(&outside), NODE, GATEWAY),
        (Place::Pod(&outside), NODE_V6, "fd00:244::1"),
        (Place::Host, "127.0.0.1", GATEWAY),
        (Place::Pod(&pod), NODE, GATEWAY),
    ] {
        assert_eq!(ask(place, "tcp", address, 8080), format!("c1 to {seen}"));
    }
}

#[test]
fn without_snat_nothing_is_masqueraded() {
    let node = Node::new();
    let outside = outside(&node);
    serve(Place::Host, "host", "tcp", "127.0.0.1", 8080);
    let (pod, result) = attached(&node, "c1");
    serve(Place::Pod(&pod), "c1", "tcp", "::", 80);
    let config = config(json!([mapping("tcp", 8080, 80)]), json!({"snat": false, "masqAll": true}));
    forward(&node, &pod, &config, &result).unwrap();
    assert_eq!(ask(Place::Pod(&outside), "tcp", NODE, 8080), format!("c1 to {OUTSIDE}"));
    assert!(rules(&node).iter().all(|rule| !rule.contains("masquerade")));
    assert_eq!(node.sysctl("net/ipv4/conf/cni0/route_localnet"), "0");
    assert!(ask(Place::Host, "tcp", "127.0.0.1", 8080).starts_with("host to "));
}

#[test]
fn keys_that_only_the_reference_needs_are_accepted() {
    let node = Node::new();
    for keys in [
        json!({"markMasqBit": 3}),
        json!({"externalSetMarkChain": "-j KUBE-MARK-MASQ"}),
        json!({"backend": "iptables"}),
        json!({"backend": "nftables"}),
    ] {
        let (pod, result) = attached(&node, "c1");
        serve(Place::Pod(&pod), "c1", "tcp", "::", 80);
        let config = config(json!([mapping("tcp", 8080, 80)]), keys);
        forward(&node, &pod, &config, &result).unwrap();
        assert_eq!(ask(Place::Pod(&pod), "tcp", GATEWAY, 8080), format!("c1 to {GATEWAY}"));
        node.call("portmap", &pod).del(&config);
        node.call("bridge", &pod).del(&super::network());
    }
}

#[test]
fn a_mapping_takes_the_packets_that_fulfil_its_conditions() {
    let node = Node::new();
    let outside = outside(&node);
    let port = json!([mapping("tcp", 8080, 80)]);
    let conditions = [
        ("dest", json!({"conditionsV4": ["!", "-d", NODE], "conditionsV6": ["!", "-d", NODE_V6]})),
        (
            "source",
            json!({"conditionsV4": [format!("ip saddr {OUTSIDE}/32")], "conditionsV6": ["-s", OUTSIDE_V6]}),
        ),
    ];
    let pods = conditions.map(|(id, keys)| {
        let (pod, result) = attached(&node, id);
        serve(Place::Pod(&pod), id, "tcp", "::", 80);
        let config = config(port.clone(), keys);
        forward(&node, &pod, &config, &result).unwrap();
        node.call("portmap", &pod).check(&config, &result);
        (pod, config)
    });
    let out = Place::Pod(&outside);
    for address in [NODE, NODE_V6] {
        assert!(ask(out, "tcp", address, 8080).starts_with("source to "));
    }
    assert!(ask(Place::Host, "tcp", GATEWAY, 8080).starts_with("dest to "));
    assert_eq!(ask_once(Place::Host, "tcp", NODE, 8080), None);
    for (pod, config) in &pods {
        node.call("portmap", pod).del(config);
    }
    assert_eq!(ask_once(Place::Host, "tcp", GATEWAY, 8080), None);
    assert_eq!(super::elements(&node), 0);
}

#[test]
fn the_rules_are_the_same_with_one_port_and_with_a_thousand() {
    let node = Node::new();
    let (one, result) = attached(&node, "one");
    forward(&node, &one, &config(json!([mapping("tcp", 8080, 80)]), json!({})), &result).unwrap();
    let before = rules(&node);
    let (many, result) = attached(&node, "many");
    let ports: Vec<_> =
        (0..1000).map(|port| mapping(["tcp", "udp"][usize::from(port % 2)], 10_000 + port, 80)).collect();
    forward(&node, &many, &config(json!(ports), json!({})), &result).unwrap();
    assert_eq!(rules(&node), before);
    serve(Place::Pod(&many), "many", "udp", "::", 80);
    assert!(ask(Place::Host, "udp", GATEWAY, 10_999).starts_with("many to "));
    node.call("portmap", &many).check(&config(json!(ports), json!({})), &result);
    node.call("portmap", &many).del(&config(json!([]), json!({})));
    node.call("portmap", &one).del(&config(json!([]), json!({})));
    assert_eq!(super::elements(&node), 0);
}

/// A node that keeps its rules by `nft list ruleset > /etc/nftables.conf` boots with these; then its pods come anew.
#[test]
fn a_saved_ruleset_can_be_loaded_again_and_the_next_add_restores_a_flushed_one() {
    let node = Node::new();
    let port = config(json!([mapping("tcp", 8080, 80)]), json!({}));
    let conditional = json!({"conditionsV4": ["!", "-d", NODE]});
    let (first, result) = attached(&node, "first");
    forward(&node, &first, &port, &result).unwrap();
    forward(
        &node,
        &attached(&node, "other").0,
        &config(json!([mapping("tcp", 9090, 80)]), conditional),
        &result,
    )
    .unwrap();
    serve(Place::Pod(&first), "first", "tcp", "::", 80);
    node.look("nft list ruleset > /mnt/saved; nft flush ruleset; nft -f /mnt/saved");
    assert!(ask(Place::Host, "tcp", GATEWAY, 8080).starts_with("first to "));
    for fault in ["true", "nft flush ruleset", "nft delete table inet weir-portmap"] {
        node.look(fault);
        let (next, result) = attached(&node, "next");
        serve(Place::Pod(&next), "next", "tcp", "::", 80);
        forward(&node, &next, &port, &result).unwrap();
        node.call("portmap", &next).check(&port, &result);
        assert!(ask(Place::Host, "tcp", GATEWAY, 8080).starts_with("next to "), "{fault}");
        node.call("portmap", &next).del(&port);
        node.call("bridge", &next).del(&super::network());
    }
}
