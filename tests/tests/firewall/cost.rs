//! What ADD and DEL cost does not depend on how many pods there are.

use std::path::Path;

use serde_json::Value;
use tests::{Call, Node};

use super::unattached;

/// Bytes and datagrams that a call sends to and receives from the kernel's sockets.
fn traffic(call: Call, verb: &str, config: &Value) -> Vec<String> {
    let trace = Path::new("/mnt/trace");
    let command = format!("strace -f -o {} -e trace=sendto,recvfrom", trace.display());
    let command: Vec<String> = command.split(' ').map(str::to_owned).collect();
    call.executed_by(&command).verb(verb, config).map(drop).unwrap();
    let text = std::fs::read_to_string(trace).unwrap();
    let sizes = text.lines().filter(|line| line.contains("sendto(") || line.contains("recvfrom("));
    let sizes = sizes.map(|line| {
        let name = if line.contains("sendto(") { "sent" } else { "received" };
        format!("{name} {}", line.rsplit("= ").next().unwrap())
    });
    sizes.collect()
}

fn add_and_del(node: &Node) -> [Vec<String>; 2] {
    let (pod, call, config) = unattached(node, "d1", &["10.1.200.3/16", "fd00::c8:3/64"]);
    let added = traffic(call, "ADD", &config);
    let deleted = traffic(node.call("firewall", &pod), "DEL", &config);
    [added, deleted]
}

#[test]
fn messages_of_add_and_del_are_the_same_with_one_pod_and_with_two_hundred() {
    let node = Node::new();
    let add = |number: usize| {
        let id = format!("c{number:03}");
        let addresses = [format!("10.1.0.{number}/16"), format!("fd00::{number}/64")];
        let (_pod, call, config) = unattached(&node, &id, &addresses.each_ref().map(String::as_str));
        call.add(&config);
    };
    add(1);
    let few = add_and_del(&node);
    assert!(few.iter().all(|traffic| !traffic.is_empty() && traffic.len() < 40), "{few:?}");
    (2..=200).for_each(add);
    assert_eq!(add_and_del(&node), few);
}
