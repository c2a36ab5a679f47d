//! The chain that containerd's installer writes, by either set of plugins in one run.

use std::process::Command;

use serde_json::Value;
use tests::{Look, Node, Pod, REFERENCE, repository};

use super::service::{Place, ask, ask_once, serve};
use super::{NODE, NODE_V6, outside};

/// Runs `weir` with the plugins in `folder`, which must succeed.
fn weir(node: &Node, folder: &str, arguments: &str) -> String {
    let output = Command::new(node.bin().join("weir"))
        .args(arguments.split_whitespace())
        .env("CNI_PATH", folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "weir {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_chain_with_bridge_forwards_ports_as_the_references_does() {
    let node = Node::new();
    let outside = outside(&node);
    let file = repository().join("conf-examples/containerd.conflist");
    let mut seen = Vec::new();
    for folder in [node.bin().to_str().unwrap(), REFERENCE] {
        let pods = ["c1", "c2"].map(Pod::new);
        let options = pods.each_ref().map(|pod| {
            let (netns, id) = (pod.netns(), pod.id());
            let ports = "[{\"hostPort\":8080,\"containerPort\":80,\"protocol\":\"tcp\"},{\"hostPort\":8053,\"containerPort\":53,\"protocol\":\"udp\"}]";
            let ports = if id == "c1" { format!("--cap portMappings={ports}") } else { String::new() };
            format!("--conflist {} --netns {netns} --container-id {id} {ports}", file.display())
        });
        let results = options.each_ref().map(|options| weir(&node, folder, &format!("attach {options}")));
        let result: Value = serde_json::from_str(&results[0]).unwrap();
        assert_eq!(result["interfaces"].as_array().unwrap().len(), 3);
        serve(Place::Pod(&pods[0]), "c1", "tcp", "::", 80);
        serve(Place::Pod(&pods[0]), "c1", "udp", "::", 53);
        let mut answers = Vec::new();
        for (place, address) in [
            (Place::Pod(&outside), NODE),
            (Place::Pod(&outside), NODE_V6),
            (Place::Host, NODE),
            (Place::Host, NODE_V6),
            (Place::Host, "127.0.0.1"),
            (Place::Pod(&pods[1]), NODE),
            (Place::Pod(&pods[1]), NODE_V6),
        ] {
            answers.push((address, ask(place, "tcp", address, 8080), ask(place, "udp", address, 8053)));
        }
        seen.push(answers);
        if folder != REFERENCE {
            options.iter().for_each(|options| drop(weir(&node, folder, &format!("check {options}"))));
        }
        for options in &options {
            for _ in 0..2 {
                weir(&node, folder, &format!("detach {options}"));
            }
        }
        assert_eq!(ask_once(Place::Pod(&outside), "tcp", NODE, 8080), None);
        assert_eq!(node.links().len(), 2, "up0 and cni0");
        node.look("ip link delete cni0");
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(super::elements(&node), 0);
}
