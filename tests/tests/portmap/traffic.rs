//! Every way to a forwarded port, beside the reference's in the same run.

use serde_json::{Value, json};
use tests::{Look, Node, Pod, REFERENCE, with_prev_result};

use super::service::{Place, ask, ask_once, serve};
use super::{
    GATEWAY, NODE, NODE_V6, OUTSIDE, OUTSIDE_V6, attached, call_in, config, forward, forward_in, mapping,
    outside, with_host_ip, with_ports,
};

/// Serves the pod's ports, on both families.
fn serve_all(pod: &Pod) {
    serve(Place::Pod(pod), pod.id(), "tcp", "::", 80);
    serve(Place::Pod(pod), pod.id(), "udp", "::", 53);
}

fn ports() -> Value {
    json!([mapping("tcp", 8080, 80), mapping("udp", 8053, 53)])
}

#[test]
fn every_way_leads_to_the_pod_as_the_references_does() {
    let node = Node::new();
    let outside = outside(&node);
    let (other, _) = attached(&node, "other");
    let mut seen = Vec::new();
    for folder in [node.bin().to_owned(), REFERENCE.into()] {
        let (pod, result) = attached(&node, "c1");
        serve_all(&pod);
        let config = config(ports(), json!({}));
        let printed = forward_in(&node, &folder, &pod, &config, &result).unwrap();
        assert_eq!(printed, result, "the result of the plugin before is handed on unchanged");
        let (out, other, own) = (Place::Pod(&outside), Place::Pod(&other), Place::Pod(&pod));
        let mut answers = Vec::new();
        for (place, address) in [
            (out, NODE),
            (out, NODE_V6),
            (Place::Host, NODE),
            (Place::Host, NODE_V6),
            (Place::Host, GATEWAY),
            (Place::Host, "127.0.0.1"),
            (Place::Host, "127.0.0.2"),
            (other, NODE),
            (other, NODE_V6),
            (other, GATEWAY),
            (own, NODE),
            (own, NODE_V6),
            (own, GATEWAY),
        ] {
            for (protocol, port) in [("tcp", 8080), ("udp", 8053)] {
                let answer = ask(place, protocol, address, port);
                assert!(answer.starts_with("c1 to "), "{protocol} {address}: {answer}");
                answers.push((protocol, address, answer));
            }
        }
        // The reference's own CHECK looks for the IPv4 address in the table of IPv6, too.
        if folder == node.bin() {
            call_in(&node, &folder, &pod).check(&config, &result);
        }
        call_in(&node, &folder, &pod).del(&with_prev_result(&config, &result));
        assert_eq!(ask_once(out, "tcp", NODE, 8080), None);
        node.call("bridge", &pod).del(&super::network());
        // The next pod with this name gets other addresses.
        let own =
            [result["ips"][0]["address"].as_str().unwrap(), result["ips"][1]["address"].as_str().unwrap()];
        let own = own.map(|address| address.split('/').next().unwrap().to_owned());
        for (_, _, answer) in &mut answers {
            own.iter().for_each(|own| *answer = answer.replace(own, "POD"));
        }
        seen.push(answers);
    }
    assert_eq!(seen[0], seen[1]);
}

#[test]
fn only_traffic_to_this_host_is_taken() {
    let node = Node::new();
    let outside = outside(&node);
    for address in [OUTSIDE, OUTSIDE_V6] {
        serve(Place::Pod(&outside), "outside", "tcp", address, 8080);
        serve(Place::Pod(&outside), "outside", "udp", address, 8053);
    }
    let (pod, _) = with_ports(&node, "c1", ports());
    serve_all(&pod);
    let (other, _) = attached(&node, "other");
    assert!(ask(Place::Pod(&other), "udp", NODE, 8053).starts_with("c1 to "));
    for place in [Place::Pod(&pod), Place::Pod(&other), Place::Host] {
        for address in [OUTSIDE, OUTSIDE_V6] {
            for (protocol, port) in [("tcp", 8080), ("udp", 8053)] {
                assert!(
                    ask(place, protocol, address, port).starts_with("outside to "),
                    "{protocol} {address}"
                );
            }
        }
    }
}

#[test]
fn a_mapping_of_one_address_comes_before_one_of_all() {
    let node = Node::new();
    let outside = outside(&node);
    let (any, _) = with_ports(&node, "any", ports());
    let both = json!([
        with_host_ip(NODE, &mapping("tcp", 8080, 80)),
        with_host_ip(NODE_V6, &mapping("udp", 8053, 53)),
    ]);
    let (one, _) = with_ports(&node, "one", both);
    serve_all(&any);
    serve_all(&one);
    let out = Place::Pod(&outside);
    assert!(ask(out, "tcp", NODE, 8080).starts_with("one to "));
    assert!(ask(out, "udp", NODE_V6, 8053).starts_with("one to "));
    assert!(ask(out, "tcp", NODE_V6, 8080).starts_with("any to "));
    assert!(ask(out, "udp", NODE, 8053).starts_with("any to "));
    assert!(ask(Place::Host, "tcp", GATEWAY, 8080).starts_with("any to "));
    assert!(ask(Place::Host, "tcp", "127.0.0.1", 8080).starts_with("any to "));
}

#[test]
fn a_mapping_of_one_address_does_not_take_the_others() {
    let node = Node::new();
    let outside = outside(&node);
    let mappings = json!([
        with_host_ip(NODE, &mapping("tcp", 8080, 80)),
        with_host_ip("127.0.0.1", &mapping("tcp", 9090, 80)),
        with_host_ip("0.0.0.0", &mapping("udp", 8053, 53)),
        with_host_ip("::", &mapping("udp", 8054, 53)),
    ]);
    let (pod, _) = with_ports(&node, "c1", mappings);
    serve_all(&pod);
    let out = Place::Pod(&outside);
    for (place, protocol, address, port, is_open) in [
        (out, "tcp", NODE, 8080, true),
        (Place::Host, "tcp", "127.0.0.1", 8080, false),
        (Place::Host, "tcp", GATEWAY, 8080, false),
        (Place::Host, "tcp", "127.0.0.1", 9090, true),
        (out, "tcp", NODE, 9090, false),
        (out, "udp", NODE, 8053, true),
        (out, "udp", NODE_V6, 8053, false),
        (out, "udp", NODE_V6, 8054, true),
        (out, "udp", NODE, 8054, false),
    ] {
        let answer = match is_open {
            true => Some(ask(place, protocol, address, port)),
            false => ask_once(place, protocol, address, port),
        };
        assert_eq!(answer.is_some(), is_open, "{protocol} {address} {port}: {answer:?}");
    }
}

#[test]
fn localhost_is_the_hosts_own_where_the_config_says_so() {
    let node = Node::new();
    let outside = outside(&node);
    serve(Place::Host, "host", "tcp", "127.0.0.1", 8080);
    let (pod, result) = attached(&node, "c1");
    serve_all(&pod);
    forward(&node, &pod, &config(ports(), json!({"localhost": false})), &result).unwrap();
    assert!(ask(Place::Pod(&outside), "tcp", NODE, 8080).starts_with("c1 to "));
    assert!(ask(Place::Host, "tcp", "127.0.0.1", 8080).starts_with("host to "));
    assert_eq!(node.sysctl("net/ipv4/conf/cni0/route_localnet"), "0");
}

#[test]
fn the_hosts_own_service_on_ipv6_localhost_is_not_taken() {
    let node = Node::new();
    serve(Place::Host, "host", "tcp", "::1", 8080);
    let (pod, _) = with_ports(&node, "c1", json!([mapping("tcp", 8080, 80)]));
    serve_all(&pod);
    assert!(ask(Place::Host, "tcp", "127.0.0.1", 8080).starts_with("c1 to "));
    assert!(ask(Place::Host, "tcp", "::1", 8080).starts_with("host to "));
}

/// A neighbour that sends to 127.0.0.1 by way of the node, where `route_localnet` is on.
#[test]
fn nothing_from_outside_reaches_the_hosts_localhost() {
    let node = Node::new();
    let outside = outside(&node);
    with_ports(&node, "c1", ports());
    node.look("sysctl -qw net.ipv4.conf.up0.route_localnet=1");
    outside.look(&format!(
        "sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.up0.rp_filter=0; \
         ip route add 127.0.0.1/32 via {NODE} dev up0 src {OUTSIDE} table 7; ip rule add pref 0 lookup 7; \
         ip rule del pref 0 lookup local; ip rule add pref 1 lookup local"
    ));
    let listener = std::net::UdpSocket::bind("127.0.0.1:9999").unwrap();
    let sender = outside.inside(|| std::net::UdpSocket::bind((OUTSIDE, 0)).unwrap());
    let arrives = |patience: u64| {
        listener.set_read_timeout(Some(std::time::Duration::from_millis(patience))).unwrap();
        sender.send_to(b"in", "127.0.0.1:9999").unwrap();
        listener.recv_from(&mut [0; 8]).is_ok()
    };
    assert!((0..3).all(|_| !arrives(300)));
    node.look("nft flush chain inet weir-portmap guard");
    tests::eventually("without the guard it arrives", || arrives(300));
}
