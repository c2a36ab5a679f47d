//! UDP connections that the kernel tracks: a client that keeps its port is led to the right pod at once.

use serde_json::json;
use tests::{Look, Node};

use super::service::{Place, ask_again, serve, udp_client};
use super::{GATEWAY, NODE, OUTSIDE, attached, config, forward, mapping, outside, with_host_ip, with_ports};

fn tracked(node: &Node, port: u16) -> usize {
    let text = node.look("cat /proc/net/nf_conntrack 2> /dev/null || true");
    text.lines().filter(|line| line.contains("udp") && line.contains(&format!("dport={port} "))).count()
}

#[test]
fn a_client_of_the_host_is_led_to_the_pod_by_add_and_back_by_del() {
    let node = Node::new();
    let outside = outside(&node);
    // Without a rule that translates addresses, the kernel does not track.
    with_ports(&node, "first", json!([mapping("tcp", 1, 1)]));
    serve(Place::Host, "host", "udp", "0.0.0.0", 8053);
    let (pod, result) = attached(&node, "c1");
    serve(Place::Pod(&pod), "c1", "udp", "::", 53);
    let client = udp_client(Place::Pod(&outside), NODE);
    let bystander = udp_client(Place::Pod(&outside), NODE);
    serve(Place::Host, "host", "udp", "0.0.0.0", 8054);
    assert!(ask_again(&client, NODE, 8053).starts_with("host to "));
    assert!(ask_again(&bystander, NODE, 8054).starts_with("host to "));
    let config = config(json!([mapping("udp", 8053, 53)]), json!({}));
    forward(&node, &pod, &config, &result).unwrap();
    assert!(ask_again(&client, NODE, 8053).starts_with("c1 to "));
    node.call("portmap", &pod).del(&config);
    assert!(ask_again(&client, NODE, 8053).starts_with("host to "));
    assert!(ask_again(&bystander, NODE, 8054).starts_with("host to "));
}

#[test]
fn a_client_of_a_pod_that_is_gone_is_led_to_the_next() {
    let node = Node::new();
    let outside = outside(&node);
    let mappings = json!([mapping("udp", 8053, 53), mapping("udp", 8054, 53)]);
    let (first, _) = with_ports(&node, "first", mappings.clone());
    serve(Place::Pod(&first), "first", "udp", "::", 53);
    let client = udp_client(Place::Pod(&outside), NODE);
    assert!(ask_again(&client, NODE, 8053).starts_with("first to "));
    assert!(ask_again(&client, NODE, 8054).starts_with("first to "));
    // Its runtime was killed: no DEL.
    first.shell("ip link delete eth0");
    let (second, result) = attached(&node, "second");
    serve(Place::Pod(&second), "second", "udp", "::", 53);
    forward(&node, &second, &config(mappings, json!({})), &result).unwrap();
    assert!(ask_again(&client, NODE, 8053).starts_with("second to "));
    assert!(ask_again(&client, NODE, 8054).starts_with("second to "));
}

/// What the kernel tracks of others stays, also of the same port of another machine.
#[test]
fn only_the_mappings_connections_are_deleted() {
    let node = Node::new();
    let outside = outside(&node);
    if !std::path::Path::new("/proc/net/nf_conntrack").exists() {
        // Without the file, the traffic of the other tests is the witness.
        return;
    }
    serve(Place::Pod(&outside), "outside", "udp", OUTSIDE, 8053);
    serve(Place::Host, "host", "udp", "0.0.0.0", 8053);
    let (client, _) = with_ports(&node, "client", json!([mapping("tcp", 1, 1)]));
    let to_outside = udp_client(Place::Pod(&client), OUTSIDE);
    let to_gateway = udp_client(Place::Pod(&client), GATEWAY);
    ask_again(&to_outside, OUTSIDE, 8053);
    ask_again(&to_gateway, GATEWAY, 8053);
    assert_eq!(tracked(&node, 8053), 2);
    let (pod, result) = attached(&node, "c1");
    let config = config(json!([with_host_ip(NODE, &mapping("udp", 8053, 53))]), json!({}));
    forward(&node, &pod, &config, &result).unwrap();
    assert_eq!(tracked(&node, 8053), 2, "neither was to {NODE}");
    node.call("portmap", &pod).del(&config);
    assert_eq!(tracked(&node, 8053), 2);
    let config = super::config(json!([mapping("udp", 8053, 53)]), json!({}));
    forward(&node, &pod, &config, &result).unwrap();
    assert_eq!(tracked(&node, 8053), 1, "that to the other machine stays");
}
