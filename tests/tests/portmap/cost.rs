//! ADD, DEL and CHECK cost the same with few mappings on the node and with many: the requests to the kernel are
//! counted.

use serde_json::json;
use tests::{Node, with_prev_result};

use super::{attached, config, mapping, with_ports};

/// How many messages a call sends and receives.
fn messages(node: &Node, pod: &tests::Pod, verb: &str, config: &serde_json::Value) -> usize {
    const TRACE: &str = "/mnt/trace";
    let strace = ["strace", "-f", "-qq", "-o", TRACE, "-e", "trace=network"].map(str::to_owned);
    let call = node.call("portmap", pod).executed_by(&strace);
    call.verb(verb, config).unwrap();
    std::fs::read_to_string(TRACE).unwrap().lines().count()
}

#[test]
fn no_verb_of_a_pod_costs_more_beside_two_thousand_mappings() {
    let node = Node::new();
    let (pod, result) = attached(&node, "c1");
    let config = with_prev_result(
        &config(json!([mapping("tcp", 8080, 80), mapping("udp", 8053, 53)]), json!({})),
        &result,
    );
    let count = || ["ADD", "CHECK", "DEL"].map(|verb| messages(&node, &pod, verb, &config));
    // The first creates the table.
    count();
    let before = count();
    let ports: Vec<_> =
        (0..1000).map(|port| mapping(["tcp", "udp"][usize::from(port % 2)], 10_000 + port, 80)).collect();
    let _many = ["many", "more"].map(|id| {
        let offset = if id == "many" { 0 } else { 1000 };
        let ports = ports.iter().map(|port| {
            let host_port = port["hostPort"].as_u64().unwrap() + offset;
            tests::config::changed(port, json!({ "hostPort": host_port }))
        });
        with_ports(&node, id, json!(ports.collect::<Vec<_>>()))
    });
    assert_eq!(count(), before);
}
