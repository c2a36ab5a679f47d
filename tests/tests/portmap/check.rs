//! CHECK and STATUS.

use serde_json::json;
use tests::{Look, Node, with_prev_result};

use super::{TABLE, attached, config, forward, mapping, says, with_ports};

#[test]
fn check_finds_what_is_gone() {
    let node = Node::new();
    let mappings = json!([mapping("tcp", 8080, 80), mapping("udp", 8053, 53)]);
    let config = config(mappings.clone(), json!({}));
    for (command, words) in [
        (
            "delete element T ports-ipv4 { tcp . 8080 }",
            &["TCP port 8080 of all IPv4 addresses", "not forwarded any more"][..],
        ),
        ("delete element T ports-ipv6 { udp . 8053 }", &["UDP port 8053 of all IPv6 addresses"]),
        ("flush set T masquerade-ipv4-24", &["TCP port 8080"]),
        ("flush map T holders", &["not forwarded any more"]),
        ("flush chain T prerouting", &["chain prerouting is gone"]),
        ("flush chain T output", &["chain output is gone"]),
        ("flush chain T host-ports", &["chain host-ports is gone"]),
        ("flush chain T postrouting", &["chain postrouting is gone"]),
        ("flush chain T guard", &["chain guard is gone"]),
        ("add table T { flags dormant; }", &["dormant"]),
        ("delete table T", &["not forwarded any more"]),
    ] {
        let (pod, result) = with_ports(&node, "c1", mappings.clone());
        let call = node.call("portmap", &pod);
        call.check(&config, &result);
        node.look(&format!("nft '{}'", command.replace(" T", &format!(" {TABLE}"))));
        let failure = call.verb("CHECK", &with_prev_result(&config, &result)).unwrap_err();
        says(&failure, 999, words);
        node.look(&format!("nft delete table {TABLE} 2> /dev/null || true"));
        node.call("bridge", &pod).del(&super::network());
    }
}

#[test]
fn check_finds_a_port_that_is_anothers() {
    let node = Node::new();
    let one = config(json!([mapping("tcp", 8080, 80)]), json!({}));
    let (first, result) = with_ports(&node, "first", json!([mapping("tcp", 8080, 80)]));
    let netns = first.netns();
    node.look(&format!("nft flush map {TABLE} holders; nft flush map {TABLE} ports-ipv4; nft flush map {TABLE} ports-ipv6; nft flush map {TABLE} loopback-ipv4"));
    let (second, second_result) = attached(&node, "second");
    forward(&node, &second, &one, &second_result).unwrap();
    let call = node.call("portmap", &first).with("CNI_NETNS", netns);
    let failure = call.verb("CHECK", &with_prev_result(&one, &result)).unwrap_err();
    says(&failure, 999, &["TCP port 8080", "another container, pods/second/eth0"]);
}

#[test]
fn check_finds_a_port_that_add_did_not_have() {
    let node = Node::new();
    let (pod, result) = with_ports(&node, "c1", json!([mapping("tcp", 8080, 80)]));
    for (mappings, words) in [
        (json!([mapping("tcp", 8080, 81)]), "TCP port 8080"),
        (json!([mapping("tcp", 8080, 80), mapping("tcp", 8081, 80)]), "TCP port 8081"),
    ] {
        let config = with_prev_result(&config(mappings, json!({})), &result);
        says(&node.call("portmap", &pod).verb("CHECK", &config).unwrap_err(), 999, &[words]);
    }
    node.look("sysctl -qw net.ipv4.conf.cni0.route_localnet=0");
    let config = with_prev_result(&config(json!([mapping("tcp", 8080, 80)]), json!({})), &result);
    says(&node.call("portmap", &pod).verb("CHECK", &config).unwrap_err(), 999, &["route_localnet"]);
}

#[test]
fn status_tells_whether_add_would_serve() {
    let node = Node::new();
    let pod = tests::Pod::new("c1");
    let status = |keys| node.call("portmap", &pod).verb("STATUS", &config(json!(null), keys));
    status(json!({"cniVersion": "1.1.0"})).unwrap();
    assert_eq!(node.look("nft list ruleset"), "", "nothing is changed");
    let failure = status(json!({"cniVersion": "1.1.0", "conditionsV4": ["-i", "eth0"]})).unwrap_err();
    says(&failure, 50, &["conditionsV4"]);
}
