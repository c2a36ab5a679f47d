//! `macspoofchk`: what a pod sends with another hardware address than its own does not arrive.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

use std::net::UdpSocket;

use serde_json::{Value, json};
use tests::config::{bridge, changed, host_local};
use tests::{Failure, Look, Node, Pod, with_prev_result};

const ANOTHER: &str = "02:00:00:00:00:99";

fn config() -> Value {
    bridge(json!({"macspoofchk": true}))
}

/// Returns weir's table with its handles, as `nft` shows it; empty when there is no table.
fn table(node: &Node) -> String {
    node.look("nft -a list ruleset bridge")
}

fn rules(node: &Node) -> usize {
    table(node).matches(" drop ").count()
}

/// The owners of the checked ports.
fn owners(node: &Node) -> Vec<String> {
    let shown = node.look("nft -j list set bridge weir checked-ports");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let elements = shown["nftables"][1]["set"]["elem"].as_array().cloned().unwrap_or_default();
    let mut owners: Vec<_> =
        elements.iter().map(|element| element["elem"]["comment"].as_str().unwrap().to_owned()).collect();
    owners.sort();
    owners
}

fn sources(node: &Node) -> usize {
    node.look("nft list set bridge weir allowed-sources").matches(" . ").count() - 1
}

fn add(node: &Node, pod: &Pod, address: &str) -> Value {
    node.call("bridge", pod).with("CNI_ARGS", format!("IP={address}")).add(&config())
}

/// Which of the texts that `from` sends in turn arrive at `to`, of which the last one must. Each is sent with a
/// hardware address of its own; neighbours are known, so that nothing but these frames counts.
fn arriving(node: &Node, from: &Pod, (to, address): (&Pod, &str), sent: &[(&str, &str)]) -> Vec<String> {
    // A frame that is not repeated is lost while the kernel has not yet noticed that a link is up.
    tests::eventually("both ends and their ports are up", || {
        let is_up = |pod: &Pod| pod.link("eth0")["operstate"] == "UP";
        let forwards =
            |port: &String| node.link(port)["linkinfo"]["info_slave_data"]["state"] == "forwarding";
        is_up(from) && is_up(to) && node.ports("cni0").iter().all(forwards)
    });
    let listener = to.inside(|| UdpSocket::bind((address, 0)).unwrap());
    listener.set_read_timeout(Some(tests::PATIENCE)).unwrap();
    let neighbour = to.link("eth0")["address"].as_str().unwrap().to_owned();
    for (mac, text) in sent {
        from.look(&format!(
            "ip link set eth0 address {mac}; ip neigh replace {address} lladdr {neighbour} dev eth0"
        ));
        let sender = from.inside(|| UdpSocket::bind("0.0.0.0:0").unwrap());
        sender.send_to(text.as_bytes(), listener.local_addr().unwrap()).unwrap();
    }
    let mut arrived = Vec::new();
    while arrived.last().map(String::as_str) != sent.last().map(|(_, text)| *text) {
        let mut buffer = [0; 64];
        let length = listener.recv(&mut buffer).expect("the last one arrives");
        arrived.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    arrived
}

fn mac(result: &Value) -> &str {
    result["interfaces"][2]["mac"].as_str().unwrap()
}

#[test]
fn only_frames_with_the_pods_own_address_arrive() {
    let (node, pod, other) = (Node::new(), Pod::new("c1"), Pod::new("c2"));
    let result = add(&node, &pod, "10.244.0.2");
    let others = add(&node, &other, "10.244.0.3");
    let own = mac(&result);
    let sent = [(own, "one"), (ANOTHER, "two"), (mac(&others), "three"), (own, "four")];
    assert_eq!(arriving(&node, &pod, (&other, "10.244.0.3"), &sent), ["one", "four"]);
    let sent = [(mac(&others), "one")];
    assert_eq!(arriving(&node, &other, (&pod, "10.244.0.2"), &sent), ["one"]);
    // The rule counts what it drops.
    assert!(!table(&node).contains("counter packets 0 "), "{}", table(&node));
}

#[test]
fn a_pod_without_the_key_may_send_with_any_address() {
    let (node, pod, other) = (Node::new(), Pod::new("c1"), Pod::new("c2"));
    let result = node.call("bridge", &pod).with("CNI_ARGS", "IP=10.244.0.2").add(&bridge(json!({})));
    assert_eq!(table(&node), "");
    add(&node, &other, "10.244.0.3");
    let sent = [(ANOTHER, "one"), (mac(&result), "two")];
    assert_eq!(arriving(&node, &pod, (&other, "10.244.0.3"), &sent), ["one", "two"]);
}

#[test]
fn the_number_of_rules_does_not_grow_with_the_pods() {
    let node = Node::new();
    let pods: Vec<_> = (0..50).map(|number| Pod::new(&format!("c{number}"))).collect();
    add(&node, &pods[0], "10.244.0.2");
    assert_eq!(rules(&node), 1);
    for (number, pod) in pods.iter().enumerate().skip(1) {
        add(&node, pod, &format!("10.244.0.{}", number + 2));
    }
    assert_eq!((rules(&node), owners(&node).len(), sources(&node)), (1, 50, 50));
    for pod in &pods {
        node.call("bridge", pod).del(&config());
    }
    assert_eq!((rules(&node), owners(&node).len(), sources(&node)), (1, 0, 0));
}

#[test]
fn del_ends_it_with_and_without_namespace_and_result_also_twice_and_first() {
    let (node, other) = (Node::new(), Pod::new("c9"));
    node.call("bridge", &other).del(&config());
    assert_eq!(table(&node), "");
    node.call("bridge", &other).add(&config());
    let before = node.fingerprint();
    for netns in [true, false] {
        for with_result in [true, false] {
            let pod = Pod::new("c1");
            let result = node.call("bridge", &pod).add(&config());
            assert_eq!(owners(&node), ["pods/c1/eth0", "pods/c9/eth0"]);
            let call = node.call("bridge", &pod);
            let call = if netns { call } else { call.with("CNI_NETNS", "") };
            let config = if with_result { with_prev_result(&config(), &result) } else { config() };
            for _ in 0..2 {
                call.del(&config);
                assert_eq!(node.fingerprint(), before, "netns: {netns}, prevResult: {with_result}");
            }
        }
    }
}

#[test]
fn a_container_id_too_long_for_the_name_of_a_chain_can_be_added_and_removed() {
    let (node, pod) = (Node::new(), Pod::new(&"c".repeat(250)));
    node.call("bridge", &pod).del(&config());
    node.call("bridge", &pod).add(&config());
    for _ in 0..2 {
        node.call("bridge", &pod).del(&config());
        assert_eq!((owners(&node).len(), sources(&node)), (0, 0));
    }
}

#[test]
fn del_removes_it_without_the_pair() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.call("bridge", &pod).add(&config());
    pod.look("ip link delete eth0");
    node.call("bridge", &pod).del(&config());
    assert_eq!((owners(&node).len(), sources(&node)), (0, 0));
}

#[test]
fn the_next_add_replaces_an_entry_whose_del_was_lost() {
    let (node, pod, other) = (Node::new(), Pod::new("c1"), Pod::new("c2"));
    // Not the one that follows from the address, which the second ADD gives.
    let asked_for = node.call("bridge", &pod).with("CNI_ARGS", "IP=10.244.0.2;MAC=02:00:00:00:00:01");
    let first = asked_for.add(&config());
    pod.look("ip link delete eth0");
    node.look("rm /var/lib/cni/networks/pods/10.244.0.2");
    let second = add(&node, &pod, "10.244.0.2");
    assert_eq!((owners(&node), sources(&node)), (vec!["pods/c1/eth0".to_owned()], 1));
    add(&node, &other, "10.244.0.3");
    let sent = [(mac(&first), "one"), (mac(&second), "two")];
    assert_eq!(arriving(&node, &pod, (&other, "10.244.0.3"), &sent), ["two"]);
}

#[test]
fn an_add_that_fails_undoes_it() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let mut ipam = host_local(&["10.244.0.0/24"]);
    ipam["routes"] = json!([{"dst": "198.51.100.0/24", "gw": "203.0.113.1"}]);
    let config = changed(&config(), json!({"ipam": ipam}));
    node.call("bridge", &pod).verb("ADD", &config).unwrap_err();
    assert_eq!((owners(&node).len(), sources(&node)), (0, 0));
    assert!(node.ports("cni0").is_empty());
}

#[test]
fn two_interfaces_of_a_pod_are_checked_each_for_itself() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.call("bridge", &pod).add(&config());
    let second = || node.call("bridge", &pod).with("CNI_IFNAME", "eth1");
    second().add(&config());
    assert_eq!(owners(&node), ["pods/c1/eth0", "pods/c1/eth1"]);
    node.call("bridge", &pod).del(&config());
    assert_eq!((owners(&node), sources(&node)), (vec!["pods/c1/eth1".to_owned()], 1));
    second().del(&config());
    assert!(owners(&node).is_empty());
}

#[test]
fn gc_removes_the_entry_of_a_pod_without_a_del_and_nothing_else() {
    let node = Node::new();
    let elsewhere = changed(&config(), json!({"name": "elsewhere", "cniVersion": "1.1.0"}));
    let pods = ["c1", "c2", "c3"].map(Pod::new);
    for (pod, config) in pods.iter().zip([&config(), &config(), &elsewhere]) {
        node.call("bridge", pod).add(config);
    }
    pods[0].look("ip link delete eth0");
    assert_eq!(owners(&node), ["elsewhere/c3/eth0", "pods/c1/eth0", "pods/c2/eth0"]);
    let gc = json!({
        "cniVersion": "1.1.0", "macspoofchk": false,
        "cni.dev/valid-attachments": [{"containerID": "c2", "ifname": "eth0"}],
    });
    node.call("bridge", &pods[0]).verb("GC", &changed(&config(), gc)).unwrap();
    assert_eq!((owners(&node), sources(&node)), (vec!["elsewhere/c3/eth0".into(), "pods/c2/eth0".into()], 2));
}

#[test]
fn a_del_with_a_config_without_the_check_removes_it_and_the_next_add_is_not_silenced() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let unchecked = bridge(json!({}));
    for with_namespace in [true, false] {
        node.call("bridge", &pod).add(&config());
        let call = node.call("bridge", &pod);
        let call = if with_namespace { call } else { call.with("CNI_NETNS", "") };
        call.del(&unchecked);
        assert_eq!((owners(&node), sources(&node)), (vec![], 0));
    }
    node.call("bridge", &pod).add(&unchecked);
    let other = Pod::new("c2");
    let result = node.call("bridge", &other).add(&unchecked);
    let (address, _) = result["ips"][0]["address"].as_str().unwrap().split_once('/').unwrap();
    assert!(pod.reaches(address, 56));
}

fn check(node: &Node, pod: &Pod, result: &Value) -> Result<Value, Failure> {
    node.call("bridge", pod).verb("CHECK", &with_prev_result(&config(), result))
}

#[test]
fn check_names_the_missing_part() {
    for (fault, words) in [
        ("nft flush set bridge weir checked-ports", "not checked"),
        ("nft flush set bridge weir allowed-sources", "no frame of the port may pass"),
        ("nft flush chain bridge weir prerouting", "the rule of chain prerouting is gone"),
        ("nft flush table bridge weir", "the rule of chain prerouting is gone"),
        ("nft delete table bridge weir", "not checked"),
    ] {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let result = node.call("bridge", &pod).add(&config());
        check(&node, &pod, &result).unwrap();
        node.look(fault);
        let failure = check(&node, &pod, &result).unwrap_err();
        assert!(failure.message.contains(words), "{fault}: {failure:?}");
        assert!(failure.message.contains("macspoofchk"), "{fault}: {failure:?}");
        node.call("bridge", &pod).del(&config());
    }
}

#[test]
fn the_next_add_restores_a_deleted_table() {
    let (node, lost, pod) = (Node::new(), Pod::new("c1"), Pod::new("c2"));
    node.call("bridge", &lost).add(&config());
    for fault in [
        "nft delete table bridge weir",
        "nft flush ruleset",
        "nft flush table bridge weir; nft delete table bridge weir",
    ] {
        node.look(fault);
        let result = node.call("bridge", &pod).add(&config());
        check(&node, &pod, &result).unwrap_or_else(|failure| panic!("after {fault}: {failure:?}"));
        node.call("bridge", &pod).del(&config());
    }
    node.call("bridge", &lost).del(&config());
}

/// A later plugin of the chain sets another address: the address of ADD stays the one that is allowed.
#[test]
fn check_passes_when_a_later_plugin_changed_the_address() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let mut result = node.call("bridge", &pod).add(&config());
    pod.look(&format!("ip link set eth0 address {ANOTHER}"));
    result["interfaces"][2]["mac"] = json!(ANOTHER);
    check(&node, &pod, &result).unwrap();
}

#[test]
fn a_saved_ruleset_can_be_loaded_again() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let result = node.call("bridge", &pod).add(&config());
    let before = node.look("nft list ruleset bridge");
    let port = format!("\"{}\" . {} comment", node.ports("cni0")[0], mac(&result));
    assert!(before.contains(&port), "{before}");
    node.look("nft list ruleset > /mnt/saved; nft flush ruleset; nft -f /mnt/saved");
    assert_eq!(node.look("nft list ruleset bridge"), before);
    assert_eq!((owners(&node), sources(&node)), (vec!["pods/c1/eth0".to_owned()], 1));
}

#[test]
fn many_at_once_create_the_table_once() {
    let node = Node::new();
    let pods: Vec<_> = (0..16).map(|number| Pod::new(&format!("c{number}"))).collect();
    for verb in ["ADD", "DEL"] {
        let calls: Vec<_> = pods.iter().map(|pod| node.call("bridge", pod)).collect();
        let running: Vec<_> = calls.iter().map(|call| call.start(verb, &config())).collect();
        running.into_iter().for_each(|running| drop(running.answer().unwrap()));
        let left = if verb == "ADD" { 16 } else { 0 };
        assert_eq!((rules(&node), owners(&node).len(), sources(&node)), (1, left, left));
    }
}

#[test]
fn status_asks_the_kernel_and_leaves_nothing() {
    let node = Node::new();
    let status = changed(&config(), json!({"cniVersion": "1.1.0"}));
    node.call("bridge", &Pod::new("none")).verb("STATUS", &status).unwrap();
    assert_eq!(table(&node), "");
}
