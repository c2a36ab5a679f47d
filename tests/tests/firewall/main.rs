//! The plugin `firewall`: what is forwarded for pods under the firewalls that nodes have, and that `iptables` still
//! works.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

mod cost;
mod forwarding;
mod invalid;
mod killed;
mod life;
mod policies;
mod reference;

use std::path::Path;

use serde_json::{Value, json};
use tests::config::{changed, host_local};
use tests::{Call, Look, Node, Pod, REFERENCE, with_prev_result};

const OUTSIDE: [&str; 2] = ["192.0.2.2", "fd00:2::2"];

/// Ours, and the reference's.
fn both(node: &Node) -> [&Path; 2] {
    let reference = Path::new(REFERENCE);
    assert!(reference.join("firewall").exists(), "apt install containernetworking-plugins");
    [node.bin(), reference]
}

/// A machine behind the node, which routes to pods by way of it.
fn outside(node: &Node) -> Pod {
    let outside = Pod::new("outside");
    node.look(&format!(
        "ip link add uplink type veth peer name eth0 netns {}; ip link set uplink up; \
         ip addr add 192.0.2.1/24 dev uplink; ip addr add fd00:2::1/64 dev uplink nodad; \
         echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
        outside.netns(),
    ));
    outside.shell(
        "ip link set lo up; ip link set eth0 up; ip addr add 192.0.2.2/24 dev eth0; \
         ip addr add fd00:2::2/64 dev eth0 nodad; ip route add default via 192.0.2.1; \
         ip -6 route add default via fd00:2::1",
    );
    assert!(outside.reaches("192.0.2.1", 56) && outside.reaches("fd00:2::1", 56));
    outside
}

/// A network: its name is its bridge's, its number that of its subnets.
struct Network {
    name: &'static str,
    number: u8,
    firewall: Value,
}

impl Network {
    fn new(name: &'static str, number: u8, keys: Value) -> Self {
        let base = json!({"cniVersion": "1.0.0", "name": name, "type": "firewall"});
        Self { name, number, firewall: changed(&base, keys) }
    }

    fn bridge(&self) -> Value {
        let number = self.number;
        let mut ipam = host_local(&[&format!("10.{number}.0.0/24"), &format!("fd00:{number}::/64")]);
        ipam["routes"] = json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]);
        json!({
            "cniVersion": "1.0.0", "name": self.name, "type": "bridge", "bridge": self.name, "isGateway": true,
            "ipam": ipam,
        })
    }

    /// Gives a pod its interface, by ours.
    fn interface<'a>(&self, node: &'a Node, id: &str) -> Attached<'a> {
        let pod = Pod::new(id);
        let result = node.call("bridge", &pod).add(&self.bridge());
        let config = with_prev_result(&self.firewall, &result);
        let mut addresses = result["ips"]
            .as_array()
            .unwrap()
            .iter()
            .map(|ip| ip["address"].as_str().unwrap().split('/').next().unwrap().to_owned());
        let addresses = [addresses.next().unwrap(), addresses.next().unwrap()];
        // The kernel may still look whether another has the gateway's address.
        for gateway in [format!("10.{}.0.1", self.number), format!("fd00:{}::1", self.number)] {
            assert!(pod.reaches(&gateway, 56), "{gateway}");
        }
        Attached { node, pod, result, config, addresses }
    }

    /// Attaches a pod behind this firewall.
    fn attach<'a>(&self, node: &'a Node, folder: &Path, id: &str) -> Attached<'a> {
        let attached = self.interface(node, id);
        attached.call(folder).add(&attached.config);
        attached
    }
}

/// A pod with an interface.
struct Attached<'a> {
    node: &'a Node,
    pod: Pod,
    result: Value,
    /// That of the firewall, with the result.
    config: Value,
    addresses: [String; 2],
}

impl Attached<'_> {
    fn call(&self, folder: &Path) -> Call {
        // The reference executes iptables.
        self.node.call_in(folder, "firewall", &self.pod).with("PATH", std::env::var("PATH").unwrap())
    }

    /// Returns which of these addresses answer, of which it is expected that they do or do not.
    fn reached<T: AsRef<str>>(&self, addresses: &[T], expected: &[bool]) -> Vec<bool> {
        reached(&self.pod, addresses, expected)
    }
}

/// A call for a pod that has no interface, and its config with these addresses.
fn unattached(node: &Node, id: &str, addresses: &[&str]) -> (Pod, Call, Value) {
    let pod = Pod::new(id);
    let call = node.call("firewall", &pod);
    let ips: Vec<_> = addresses.iter().map(|it| json!({"address": it, "interface": 2})).collect();
    let result = json!({
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "br0"}, {"name": "veth0"}, {"name": "eth0", "sandbox": pod.netns()}],
        "ips": ips, "dns": {},
    });
    let config = json!({"cniVersion": "1.0.0", "name": "pods", "type": "firewall", "prevResult": result});
    (pod, call, config)
}

/// An answer that is expected is waited for.
fn reached<T: AsRef<str>>(pod: &Pod, addresses: &[T], expected: &[bool]) -> Vec<bool> {
    let answers = |address: &str, expected: bool| {
        if expected { pod.reaches(address, 56) } else { !pod.misses(address) }
    };
    addresses.iter().zip(expected).map(|(address, expected)| answers(address.as_ref(), *expected)).collect()
}

/// What `iptables` has of both families, without counters.
fn iptables(node: &Node) -> String {
    node.look(
        "for save in iptables-nft-save ip6tables-nft-save; do $save -t filter | sed '/^#/d; s/\\[[0-9:]*\\]//'; done",
    )
}

fn says(failure: &tests::Failure, code: u64, words: &[&str]) {
    assert_eq!(failure.code, code, "{failure:?}");
    for word in words {
        assert!(failure.message.contains(word), "{word:?} is not in {:?}", failure.message);
    }
}
