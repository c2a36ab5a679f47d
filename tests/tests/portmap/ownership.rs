//! Whose a port is.

use serde_json::json;
use tests::{Look, Node, Pod};

use super::service::{Place, ask, serve};
use super::{GATEWAY, attached, config, elements, forward, mapping, says, with_ports};

#[test]
fn a_second_pod_gets_an_error_that_names_the_first_which_keeps_working() {
    let node = Node::new();
    let port = json!([mapping("tcp", 8080, 80)]);
    let (first, _) = with_ports(&node, "first", port.clone());
    serve(Place::Pod(&first), "first", "tcp", "::", 80);
    let before = elements(&node);
    let (second, result) = attached(&node, "second");
    let both = json!([mapping("tcp", 9090, 80), mapping("tcp", 8080, 80)]);
    let failure = forward(&node, &second, &config(both, json!({})), &result).unwrap_err();
    says(&failure, 999, &["TCP port 8080 of all IPv4 addresses", "container first", "eth0", "network pods"]);
    assert_eq!(elements(&node), before, "nothing of the second remains");
    assert!(ask(Place::Host, "tcp", GATEWAY, 8080).starts_with("first to "));
    node.call("portmap", &second).del(&config(port.clone(), json!({})));
    assert_eq!(elements(&node), before, "the second's DEL leaves the first alone");
    node.call("portmap", &first).del(&config(port.clone(), json!({})));
    forward(&node, &second, &config(port, json!({})), &result).unwrap();
}

/// Without the table's guard, others could reach 127.0.0.1 by way of the bridge.
#[test]
fn an_add_that_is_refused_leaves_route_localnet_alone() {
    let node = Node::new();
    let port = json!([mapping("tcp", 8080, 80)]);
    let (first, _) = with_ports(&node, "first", port.clone());
    let second = Pod::new("second");
    let ipam = tests::config::host_local(&["10.245.0.0/24"]);
    let network = json!({"name": "others", "bridge": "other0", "ipam": ipam});
    let result =
        node.call("bridge", &second).add(&tests::config::changed(&super::network(), network.clone()));
    let config = config(port, json!({}));
    let parameter = "net/ipv4/conf/other0/route_localnet";
    forward(&node, &second, &config, &result).unwrap_err();
    assert_eq!(node.sysctl(parameter), "0");
    node.call("portmap", &first).del(&config);
    forward(&node, &second, &config, &result).unwrap();
    assert_eq!(node.sysctl(parameter), "1");
}

#[test]
fn the_ports_of_a_pod_that_is_gone_are_taken_over() {
    let node = Node::new();
    let both = json!([mapping("tcp", 8080, 80), mapping("udp", 8053, 53)]);
    let (namespace_gone, _) = with_ports(&node, "gone", both.clone());
    drop(namespace_gone);
    let (second, result) = attached(&node, "second");
    let port = json!([mapping("tcp", 8080, 80)]);
    forward(&node, &second, &config(port.clone(), json!({})), &result).unwrap();
    serve(Place::Pod(&second), "second", "tcp", "::", 80);
    assert!(ask(Place::Host, "tcp", GATEWAY, 8080).starts_with("second to "));
    let own = elements(&node);
    // A late DEL of the first changes nothing.
    node.call("portmap", &Pod::new("gone")).with("CNI_NETNS", "").del(&config(both, json!({})));
    assert_eq!(elements(&node), own);
    // Without its interface, a pod is gone as well.
    second.shell("ip link delete eth0");
    let (third, result) = attached(&node, "third");
    forward(&node, &third, &config(port, json!({})), &result).unwrap();
    assert_eq!(elements(&node), own);
}

/// The kernel refuses each of a transaction's messages, which are more than a socket's queue has room for by default.
#[test]
fn hundreds_of_ports_are_taken_refused_and_taken_over_as_one_is() {
    let node = Node::new();
    let ports: Vec<_> = (0..300).map(|port| mapping("tcp", 8000 + port, 80)).collect();
    let (first, _) = with_ports(&node, "first", json!(ports));
    let (second, result) = attached(&node, "second");
    let config = config(json!(ports), json!({}));
    let failure = forward(&node, &second, &config, &result).unwrap_err();
    says(&failure, 999, &["container first"]);
    drop(first);
    forward(&node, &second, &config, &result).unwrap();
    node.call("portmap", &second).check(&config, &result);
}

/// The namespace of another container may have the same path by now.
#[test]
fn a_path_that_leads_to_another_namespace_does_not_keep_a_port() {
    let node = Node::new();
    let port = json!([mapping("tcp", 8080, 80)]);
    let (first, result) = attached(&node, "first");
    let path = node.file("netns", "");
    let mount = |pod: &Pod| {
        tests::shell(&format!(
            "umount {path} 2> /dev/null || true; mount --bind {} {path}",
            pod.netns(),
            path = path.display()
        ));
    };
    mount(&first);
    let call = node.call("portmap", &first).with("CNI_NETNS", path.to_str().unwrap());
    call.add(&tests::with_prev_result(&config(port.clone(), json!({})), &result));
    let (second, result) = attached(&node, "second");
    let failure = forward(&node, &second, &config(port.clone(), json!({})), &result).unwrap_err();
    says(&failure, 999, &["container first"]);
    mount(&second);
    forward(&node, &second, &config(port, json!({})), &result).unwrap();
}

/// A plugin in another mount namespace, as in a container, does not see the path.
#[test]
fn a_pod_that_lives_keeps_its_ports_though_its_path_or_its_interface_is_another() {
    let node = Node::new();
    let port = config(json!([mapping("tcp", 8080, 80)]), json!({}));
    let (first, result) = attached(&node, "first");
    let path = node.file("netns", "");
    tests::shell(&format!("mount --bind {} {}", first.netns(), path.display()));
    let call = node.call("portmap", &first).with("CNI_NETNS", path.to_str().unwrap());
    call.add(&tests::with_prev_result(&port, &result));
    // It ends with its input, so with this process.
    let mut process = first.command("exec cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
    let (second, result) = attached(&node, "second");
    let refused = || {
        let failure = forward(&node, &second, &port, &result).unwrap_err();
        says(&failure, 999, &["container first"]);
    };
    first.shell("ip link delete eth0; ip link add eth0 type veth peer name peer0");
    refused();
    tests::shell(&format!("umount {}", path.display()));
    refused();
    let keys = json!({"cniVersion": "1.1.0", "cni.dev/valid-attachments": []});
    let gc = tests::config::changed(&config(json!(null), json!({})), keys);
    node.call("portmap", &Pod::new("none")).verb("GC", &gc).unwrap();
    refused();
    process.kill().unwrap();
    process.wait().unwrap();
    forward(&node, &second, &port, &result).unwrap();
}

#[test]
fn a_repeated_add_has_exactly_the_ports_of_its_config() {
    let node = Node::new();
    let (pod, result) = with_ports(&node, "c1", json!([mapping("tcp", 8080, 80), mapping("udp", 8053, 53)]));
    let own = elements(&node);
    forward(&node, &pod, &config(json!([mapping("tcp", 9090, 80)]), json!({})), &result).unwrap();
    serve(Place::Pod(&pod), "c1", "tcp", "::", 80);
    assert!(ask(Place::Host, "tcp", GATEWAY, 9090).starts_with("c1 to "));
    assert_eq!(super::service::ask_once(Place::Host, "tcp", GATEWAY, 8080), None);
    let again = json!([mapping("udp", 8053, 53), mapping("tcp", 8080, 80)]);
    for _ in 0..2 {
        forward(&node, &pod, &config(again.clone(), json!({})), &result).unwrap();
        assert_eq!(elements(&node), own);
    }
    node.call("portmap", &pod).del(&config(json!([]), json!({})));
    assert_eq!(elements(&node), 0);
}

#[test]
fn of_many_that_claim_a_port_at_once_one_gets_it() {
    const PODS: usize = 8;
    let node = Node::new();
    let pods: Vec<_> = (0..PODS).map(|number| attached(&node, &format!("c{number}"))).collect();
    for port in 8080..8085 {
        let config = config(json!([mapping("tcp", port, 80), mapping("udp", port, 80)]), json!({}));
        let running: Vec<_> = pods
            .iter()
            .map(|(pod, result)| {
                node.call("portmap", pod).start("ADD", &tests::with_prev_result(&config, result))
            })
            .collect();
        let answers: Vec<_> = running.into_iter().map(tests::Running::answer).collect();
        let winners: Vec<_> = (0..PODS).filter(|number| answers[*number].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{answers:?}");
        let winner = format!("container c{} already", winners[0]);
        answers
            .iter()
            .filter_map(|answer| answer.as_ref().err())
            .for_each(|failure| says(failure, 999, &[&winner]));
        let running: Vec<_> =
            pods.iter().map(|(pod, _)| node.call("portmap", pod).start("DEL", &config)).collect();
        running.into_iter().for_each(|running| drop(running.answer().unwrap()));
        assert_eq!(elements(&node), 0);
    }
}

#[test]
fn an_answer_that_cannot_be_printed_takes_the_ports_back() {
    let node = Node::new();
    let (pod, result) = attached(&node, "c1");
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let config = tests::with_prev_result(&config(json!([mapping("tcp", 8080, 80)]), json!({})), &result);
    let output = node.call("portmap", &pod).raw_to(full.into(), "ADD", &config.to_string());
    assert!(!output.status.success());
    assert_eq!(elements(&node), 0);
}

/// A DEL that comes late, when another pod has the address: its ports stay, and so do the elements by which sources are
/// masqueraded.
#[test]
fn a_late_del_leaves_the_next_pod_with_the_address_alone() {
    let node = Node::new();
    let (first, result) = with_ports(&node, "first", json!([mapping("tcp", 8080, 80)]));
    let next = Pod::new("next");
    next.shell("ip link add eth0 type veth peer name peer0");
    let config = config(json!([mapping("tcp", 9090, 80)]), json!({}));
    forward(&node, &next, &config, &result).unwrap();
    node.call("portmap", &next).check(&config, &result);
    node.call("portmap", &first).del(&config);
    node.call("portmap", &next).check(&config, &result);
    node.call("portmap", &next).del(&config);
    assert_eq!(elements(&node), 0);
}
