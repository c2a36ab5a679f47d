//! The reference plugins and ours on one node: either undoes what the other made, and they answer alike.
//!
//! Debian ships 1.1.1 of the reference, which speaks versions up to 1.0.0.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

mod masquerade;
mod ptp;
mod spoof_check;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tests::config::{bridge, changed, host_local};
use tests::{Call, Failure, Look, Node, Pod, REFERENCE, with_prev_result};

/// One of the two sets of plugins.
#[derive(Debug, Clone)]
struct Set(PathBuf);

impl Set {
    /// Ours and the reference's.
    fn both(node: &Node) -> [Self; 2] {
        let reference = Path::new(REFERENCE);
        assert!(reference.join("bridge").exists(), "apt install containernetworking-plugins");
        [Self(node.bin().to_owned()), Self(reference.to_owned())]
    }

    /// A call of one of its plugins, which delegates to the same set.
    fn call(&self, node: &Node, plugin: &str, pod: &Pod) -> Call {
        node.call_in(&self.0, plugin, pod).with("CNI_PATH", self.0.to_string_lossy())
    }
}

/// All that both know. Masquerading is another matter: see [`masquerade`].
fn full(version: &str) -> Value {
    let mut ipam = host_local(&["10.244.0.0/24", "fd00:244::/64"]);
    ipam["routes"] = json!([{"dst": "192.0.2.0/24"}, {"dst": "198.51.100.0/24", "gw": "10.244.0.9"}]);
    bridge(json!({
        "cniVersion": version, "isDefaultGateway": true, "hairpinMode": true, "mtu": 1450, "ipam": ipam,
        "dns": {"nameservers": ["10.96.0.10"], "search": ["cluster.local"]},
    }))
}

/// As [`full`], without the parts that the reference's CHECK misses in its own attachments: a route of the
/// result that names no next hop and goes by the gateway.
fn checkable() -> Value {
    let mut config = full("1.0.0");
    config["ipam"]["routes"] = json!([{"dst": "198.51.100.0/24", "gw": "10.244.0.9"}]);
    config
}

fn limits(result: &Value, (rate, burst): (u64, u64)) -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "pods", "type": "bandwidth", "prevResult": result,
        "ingressRate": rate, "ingressBurst": burst, "egressRate": rate, "egressBurst": burst,
    })
}

/// The result with what is left to chance replaced by its shape.
fn shape(result: &Value, pod: &Pod) -> String {
    let mut shaped = result.clone();
    for interface in shaped["interfaces"].as_array_mut().into_iter().flatten() {
        let mac = interface["mac"].as_str().unwrap();
        assert_eq!(
            mac.split(':').filter(|byte| byte.len() == 2 && u8::from_str_radix(byte, 16).is_ok()).count(),
            6
        );
        interface["mac"] = json!("MAC");
        let name = interface["name"].as_str().unwrap();
        let digits = name.strip_prefix("veth").or(name.strip_prefix("bwp"));
        if let Some(digits) = digits.filter(|digits| u64::from_str_radix(digits, 16).is_ok()) {
            interface["name"] =
                json!(format!("{} and {} digits", &name[..name.len() - digits.len()], digits.len()));
        }
        if interface.get("sandbox").is_some() {
            assert_eq!(interface["sandbox"], pod.netns());
            interface["sandbox"] = json!("SANDBOX");
        }
    }
    // Objects keep the order in which their keys were printed.
    serde_json::to_string_pretty(&shaped).unwrap()
}

/// A node on which the network was used before, and how that looks.
fn used() -> (Node, String) {
    let (node, pod) = (Node::new(), Pod::new("c0"));
    let call = node.call("bridge", &pod);
    call.add(&full("1.0.0"));
    call.del(&full("1.0.0"));
    let before = node.fingerprint();
    (node, before)
}

#[test]
fn results_are_the_same_field_by_field_in_every_version() {
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"] {
        let shapes = [0, 1].map(|set| {
            let (node, pod) = (Node::new(), Pod::new("c1"));
            let result = Set::both(&node)[set].call(&node, "bridge", &pod).add(&full(version));
            shape(&result, &pod)
        });
        assert_eq!(shapes[0], shapes[1], "{version}");
    }
}

#[test]
fn results_of_bandwidth_are_the_same() {
    let shapes = [0, 1].map(|set| {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let result = node.call("bridge", &pod).add(&full("1.0.0"));
        let shaped = Set::both(&node)[set]
            .call(&node, "bandwidth", &pod)
            .add(&limits(&result, (10_000_000, 1_000_000)));
        // The name of the device is the reference's to the letter.
        (shape(&shaped, &pod), shaped["interfaces"][3]["name"].clone())
    });
    assert_eq!(shapes[0], shapes[1]);
}

#[test]
fn the_pod_and_the_bridge_look_the_same() {
    let views = [0, 1].map(|set| {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        Set::both(&node)[set].call(&node, "bridge", &pod).add(&full("1.0.0"));
        let port = node.link(&node.ports("cni0")[0]);
        let eth0 = pod.link("eth0");
        let bridge = node.link("cni0");
        let mut routes: Vec<_> =
            pod.look("ip route; ip -6 route").lines().map(|line| line.trim().to_owned()).collect();
        routes.retain(|route| !route.starts_with("fe80"));
        (
            [&port, &eth0, &bridge].map(|link| (link["mtu"].clone(), link["flags"].clone())),
            (
                port["linkinfo"]["info_slave_data"]["hairpin"].clone(),
                pod.addresses("eth0"),
                node.addresses("cni0"),
            ),
            routes,
            node.sysctl("net/ipv4/ip_forward") + &node.sysctl("net/ipv6/conf/all/forwarding"),
        )
    });
    assert_eq!(views[0], views[1]);
}

#[test]
fn either_checks_and_removes_the_others_attachments() {
    for (maker, remover) in [(0, 1), (1, 0)] {
        for with_result in [true, false] {
            let (node, before) = used();
            let pod = Pod::new("c1");
            let sets = Set::both(&node);
            let result = sets[maker].call(&node, "bridge", &pod).add(&checkable());
            let remover = sets[remover].call(&node, "bridge", &pod);
            remover.check(&checkable(), &result);
            let config = if with_result { with_prev_result(&checkable(), &result) } else { checkable() };
            remover.del(&config);
            assert_eq!(node.fingerprint(), before, "made by {:?}", sets[maker]);
            assert!(pod.links().is_empty());
        }
    }
}

#[test]
fn weir_removes_the_references_attachment_after_the_namespace_is_gone() {
    let (node, before) = used();
    let pod = Pod::new("c1");
    let [ours, reference] = Set::both(&node);
    let result = reference.call(&node, "bridge", &pod).add(&full("1.0.0"));
    let name = result["interfaces"][1]["name"].as_str().unwrap().to_owned();
    let same_id = Pod::new("c1");
    drop(pod);
    tests::eventually("the kernel removes the namespace with its pair", || !node.links().contains(&name));
    ours.call(&node, "bridge", &same_id)
        .with("CNI_NETNS", "")
        .del(&with_prev_result(&full("1.0.0"), &result));
    assert_eq!(node.fingerprint(), before);
}

#[test]
fn either_finds_missing_parts_of_the_others_attachment() {
    for (maker, checker) in [(0, 1), (1, 0)] {
        for fault in
            ["ip addr delete 10.244.0.2/24 dev eth0", "ip route delete default", "ip link delete eth0"]
        {
            let (node, pod) = (Node::new(), Pod::new("c1"));
            let sets = Set::both(&node);
            let result = sets[maker].call(&node, "bridge", &pod).add(&checkable());
            sets[checker].call(&node, "bridge", &pod).check(&checkable(), &result);
            pod.look(fault);
            sets[checker]
                .call(&node, "bridge", &pod)
                .verb("CHECK", &with_prev_result(&checkable(), &result))
                .unwrap_err();
        }
    }
}

#[test]
fn weir_checks_and_removes_the_references_limits() {
    // The default bursts of containerd, CRI-O and cri-dockerd, and a chosen one.
    for burst in [4_294_967_295, 34_359_738_359, 2_147_483_647, 1_000_000] {
        for rate in [100_000, 10_000_000, 1_000_000_000] {
            let (node, before) = used();
            let pod = Pod::new("c1");
            let [ours, reference] = Set::both(&node);
            let result = reference.call(&node, "bridge", &pod).add(&full("1.0.0"));
            let config = limits(&result, (rate, burst));
            let shaped = reference.call(&node, "bandwidth", &pod).add(&config);
            let call = ours.call(&node, "bandwidth", &pod);
            call.check(&config, &shaped);
            call.del(&config);
            ours.call(&node, "bridge", &pod).del(&full("1.0.0"));
            assert_eq!(node.fingerprint(), before, "rate {rate}, burst {burst}");
        }
    }
}

#[test]
fn the_reference_checks_and_removes_weirs_limits() {
    let (node, before) = used();
    let pod = Pod::new("c1");
    let [ours, reference] = Set::both(&node);
    let result = ours.call(&node, "bridge", &pod).add(&full("1.0.0"));
    let config = limits(&result, (10_000_000, 1_000_000));
    let shaped = ours.call(&node, "bandwidth", &pod).add(&config);
    let call = reference.call(&node, "bandwidth", &pod);
    call.check(&config, &shaped);
    call.del(&config);
    reference.call(&node, "bridge", &pod).del(&full("1.0.0"));
    // The reference does not know the chain. Since Linux 6.16 it outlives its link, and does nothing.
    let collect =
        json!({"cniVersion": "1.1.0", "name": "pods", "type": "bandwidth", "cni.dev/valid-attachments": []});
    ours.call(&node, "bandwidth", &pod).verb("GC", &collect).unwrap();
    assert_eq!(node.fingerprint(), before);
}

/// The README's section on going back: a runtime's burst is not taken literally, and the reference compares it.
#[test]
fn the_reference_refuses_weirs_limits_with_a_default_burst() {
    for burst in [4_294_967_295, 34_359_738_359, 2_147_483_647] {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let [ours, reference] = Set::both(&node);
        let result = ours.call(&node, "bridge", &pod).add(&full("1.0.0"));
        let config = limits(&result, (10_000_000, burst));
        let shaped = ours.call(&node, "bandwidth", &pod).add(&config);
        ours.call(&node, "bandwidth", &pod).check(&config, &shaped);
        let checking = reference.call(&node, "bandwidth", &pod);
        let failure = checking.verb("CHECK", &with_prev_result(&config, &shaped)).unwrap_err();
        assert!(failure.message.contains("doesn't match"), "{burst}: {failure:?}");
    }
}

#[test]
fn either_checks_the_loopback_interface_of_the_other() {
    for (maker, checker) in [(0, 1), (1, 0)] {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let sets = Set::both(&node);
        let config = json!({"cniVersion": "1.0.0", "name": "lo", "type": "loopback"});
        let call = |set: usize| sets[set].call(&node, "loopback", &pod).with("CNI_IFNAME", "lo");
        let result = call(maker).add(&config);
        call(checker).check(&config, &result);
        pod.look("ip link set lo down");
        call(checker).verb("CHECK", &with_prev_result(&config, &result)).unwrap_err();
    }
}

#[test]
fn the_reference_checks_a_masqueraded_pod_with_a_spoof_check_of_weirs() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let [ours, reference] = Set::both(&node);
    let config = changed(&checkable(), json!({"ipMasq": true, "macspoofchk": true}));
    let result = ours.call(&node, "bridge", &pod).add(&config);
    reference.call(&node, "bridge", &pod).check(&config, &result);
}

/// A VPN in a pod has a default route of its own.
#[test]
fn either_tolerates_another_next_hop_of_the_default_route() {
    for (maker, checker) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let sets = Set::both(&node);
        let result = sets[maker].call(&node, "bridge", &pod).add(&checkable());
        pod.look(
            "ip route replace default via 10.244.0.9; ip -6 route replace default via fd00:244::9 dev eth0",
        );
        sets[checker].call(&node, "bridge", &pod).check(&checkable(), &result);
    }
}

#[test]
fn a_store_is_shared_in_turn() {
    let node = Node::new();
    let sets = Set::both(&node);
    let config = bridge(json!({}));
    let pods: Vec<_> = (0..4).map(|number| Pod::new(&format!("c{number}"))).collect();
    for (number, pod) in pods.iter().enumerate() {
        let result = sets[number % 2].call(&node, "host-local", pod).add(&config);
        assert_eq!(result["ips"][0]["address"], format!("10.244.0.{}/24", number + 2));
        let file = fs::read_to_string(format!("/var/lib/cni/networks/pods/10.244.0.{}", number + 2)).unwrap();
        assert_eq!(file, format!("c{number}\r\neth0"));
    }
    for (number, pod) in pods.iter().enumerate() {
        let other = sets[(number + 1) % 2].call(&node, "host-local", pod);
        other.check(&config, &json!({"cniVersion": "1.0.0", "ips": []}));
        other.del(&config);
    }
    assert_eq!(node.look("ls /var/lib/cni/networks/pods"), "last_reserved_ip.0\nlock\n");
    // Round robin goes on where the other stopped.
    let result = sets[0].call(&node, "host-local", &pods[0]).add(&config);
    assert_eq!(result["ips"][0]["address"], "10.244.0.6/24");
}

#[test]
fn both_hand_out_addresses_at_once_and_never_the_same() {
    let node = Node::new();
    let sets = Set::both(&node);
    let config = bridge(json!({}));
    let pods: Vec<_> = (0..24).map(|number| Pod::new(&format!("c{number}"))).collect();
    let calls: Vec<_> = pods
        .iter()
        .enumerate()
        .map(|(number, pod)| sets[number % 2].call(&node, "host-local", pod))
        .collect();
    let running: Vec<_> = calls.iter().map(|call| call.start("ADD", &config)).collect();
    let mut addresses: Vec<_> = running
        .into_iter()
        .map(|running| running.answer().unwrap()["ips"][0]["address"].to_string())
        .collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 24);
}

/// Code and sentence of each set's failure; details may say more.
fn failures(call: impl Fn(&Set, &Node) -> Failure) -> [(u64, String); 2] {
    [0, 1].map(|set| {
        let node = Node::new();
        let Failure { code, msg, .. } = call(&Set::both(&node)[set], &node);
        (code, msg)
    })
}

#[test]
fn host_local_fails_with_the_references_sentences() {
    let asking = |ip: &str| json!({"ipam": host_local(&["10.244.0.0/24"]), "args": {"cni": {"ips": [ip]}}});
    for (what, changes, containers) in [
        ("exhausted", json!({"ipam": host_local(&["10.244.0.0/30"])}), ["c1", "c2"]),
        ("duplicate", json!({}), ["c1", "c1"]),
        ("held", asking("10.244.0.9"), ["c1", "c2"]),
    ] {
        let [ours, reference] = failures(|set, node| {
            let config = bridge(changes.clone());
            set.call(node, "host-local", &Pod::new(containers[0])).add(&config);
            set.call(node, "host-local", &Pod::new(containers[1])).verb("ADD", &config).unwrap_err()
        });
        assert_eq!(ours, reference, "{what}");
    }
}

#[test]
fn a_call_that_breaks_the_protocol_gets_the_same_code_and_message() {
    for (what, name, value, verb) in [
        ("a variable is missing", "CNI_NETNS", "", "ADD"),
        ("two are missing", "CNI_PATH", "", "CHECK"),
        ("the container's ID", "CNI_CONTAINERID", "a/b", "ADD"),
        ("the interface's name", "CNI_IFNAME", "a/b", "ADD"),
        ("the interface's name", "CNI_IFNAME", "sixteen-letters-", "ADD"),
        ("the command", "CNI_COMMAND", "ATTACH", "ATTACH"),
    ] {
        let [ours, reference] = failures(|set, node| {
            let call = set.call(node, "bridge", &Pod::new("c1")).with(name, value);
            call.verb(verb, &bridge(json!({}))).unwrap_err()
        });
        assert_eq!(ours, reference, "{what}");
    }
    for (what, changes, verb) in [
        ("the version", json!({"cniVersion": "1.9.0"}), "ADD"),
        ("no name", json!({"name": null}), "ADD"),
        ("a bad name", json!({"name": "a b"}), "ADD"),
        ("CHECK is younger", json!({"cniVersion": "0.3.1"}), "CHECK"),
    ] {
        let [ours, reference] = failures(|set, node| {
            let config = changed(&bridge(json!({})), changes.clone());
            set.call(node, "bridge", &Pod::new("c1")).verb(verb, &config).unwrap_err()
        });
        assert_eq!(ours, reference, "{what}");
    }
}

/// The reference masquerades with iptables, which its DEL removes; our CHECK, which CRI-O calls for every pod
/// when it starts, must not miss our own entry there.
#[test]
fn weirs_check_accepts_a_pod_that_the_reference_masquerades() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let [ours, theirs] = Set::both(&node);
    let config = bridge(json!({"isGateway": true, "ipMasq": true}));
    let call = theirs.call(&node, "bridge", &pod).with("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let result = call.add(&config);
    ours.call(&node, "bridge", &pod).check(&config, &result);
    call.del(&with_prev_result(&config, &result));
}
