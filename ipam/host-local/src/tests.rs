//! The verbs, called as a runtime calls them.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use cni::{Failure, Outcome, Variables};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

static PLUGINS: [cni::Plugin; 1] = [PLUGIN];

mod keys;
mod model;

struct Node {
    parent: tempfile::TempDir,
}

impl Node {
    fn new() -> Self {
        Self { parent: tempfile::tempdir().unwrap() }
    }

    fn directory(&self) -> PathBuf {
        self.data_dir().join("net1")
    }

    fn data_dir(&self) -> PathBuf {
        self.parent.path().join("networks")
    }

    fn config(&self, ipam: Value) -> Value {
        let mut config = json!({"cniVersion": "1.1.0", "name": "net1", "type": "IGNORED", "ipam": ipam});
        config["ipam"]["dataDir"] = json!(self.data_dir());
        config
    }

    fn call(&self, command: &str, container_id: &str, config: &Value) -> Outcome {
        self.call_with(command, container_id, config, "")
    }

    fn call_with(&self, command: &str, container_id: &str, config: &Value, arguments: &str) -> Outcome {
        let variables = Variables {
            command: command.into(),
            container_id: container_id.into(),
            netns: "/nowhere".into(),
            interface: "eth0".into(),
            arguments: arguments.into(),
            path: "/nowhere".into(),
            netns_override: String::new(),
        };
        let stdin = config.to_string().into_bytes();
        // What a call keeps until its process ends goes with the thread.
        std::thread::scope(|scope| {
            scope.spawn(|| cni::call(&PLUGINS[0], &PLUGINS, variables, stdin)).join().unwrap()
        })
    }

    fn add(&self, container_id: &str, config: &Value) -> Vec<String> {
        addresses(&self.call("ADD", container_id, config).unwrap().unwrap())
    }

    fn refused(&self, container_id: &str, config: &Value, arguments: &str) -> Failure {
        self.call_with("ADD", container_id, config, arguments).unwrap_err()
    }

    /// The addresses that have a file.
    fn held(&self) -> Vec<String> {
        names(&self.directory()).into_iter().filter(|name| name.parse::<IpAddr>().is_ok()).collect()
    }
}

/// What is there beside the index.
fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name != ".index");
    names.sort();
    names
}

fn addresses(result: &Value) -> Vec<String> {
    let ips = result["ips"].as_array().unwrap();
    ips.iter().map(|ip| ip["address"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_attachment_gets_one_address_of_each_set_with_routes_and_dns() {
    let node = Node::new();
    let resolv_conf = node.parent.path().join("resolv.conf");
    fs::write(&resolv_conf, "nameserver 10.1.2.53\n").unwrap();
    let config = node.config(json!({
        "ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00::/64", "gateway": "fd00::9"}]],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.2.7", "mtu": 1400, "advmss": 1300, "priority": 5, "table": 7, "scope": 253}, {"dst": "::/0"}],
        "resolvConf": resolv_conf,
    }));
    assert_eq!(
        node.call("ADD", "c1", &config).unwrap().unwrap(),
        json!({
            "cniVersion": "1.1.0",
            "ips": [
                {"address": "10.1.2.2/24", "gateway": "10.1.2.1"},
                {"address": "fd00::1/64", "gateway": "fd00::9"},
            ],
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.2.7", "mtu": 1400, "advmss": 1300, "priority": 5, "table": 7, "scope": 253}, {"dst": "::/0"}],
            "dns": {"nameservers": ["10.1.2.53"]},
        })
    );
    assert_eq!(
        names(&node.directory()),
        ["10.1.2.2", "fd00::1", "last_reserved_ip.0", "last_reserved_ip.1", "lock"]
    );
}

#[test]
fn a_single_range_with_host_bits_is_taken_as_its_network() {
    let node = Node::new();
    let mut config = node.config(json!({"subnet": "10.1.2.3/24"}));
    config["cniVersion"] = json!("0.3.1");
    assert_eq!(
        node.call("ADD", "a", &config).unwrap().unwrap(),
        json!({
            "cniVersion": "0.3.1",
            "ips": [{"version": "4", "address": "10.1.2.2/24", "gateway": "10.1.2.1"}],
            "dns": {},
        })
    );
}

#[test]
fn ranges_come_from_the_runtime_then_the_single_range_then_the_list() {
    let node = Node::new();
    let mut config = node.config(json!({"Subnet": "10.2.0.0/24", "RANGES": [[{"SUBNET": "10.3.0.0/24"}]]}));
    config["runtimeConfig"] = json!({"IPRanges": [[{"subnet": "10.1.0.0/24"}]]});
    assert_eq!(node.add("c1", &config), ["10.1.0.2/24", "10.2.0.2/24", "10.3.0.2/24"]);
}

#[test]
fn an_empty_range_of_the_runtime_is_ignored() {
    let node = Node::new();
    let mut config = node.config(json!({"ranges": [[{"subnet": "10.3.0.0/24"}]]}));
    for ranges in [json!([[{"subnet": ""}]]), json!([[]]), json!(null), json!([null])] {
        config["runtimeConfig"] = json!({"ipRanges": ranges});
        assert_eq!(node.add("c1", &config).len(), 1);
        node.call("DEL", "c1", &config).unwrap();
    }
}

#[test]
fn addresses_go_round_over_restarts() {
    let node = Node::new();
    let config = node.config(json!({"subnet": "10.1.2.0/29"}));
    for expected in ["10.1.2.2/29", "10.1.2.3/29", "10.1.2.4/29", "10.1.2.5/29", "10.1.2.6/29", "10.1.2.2/29"]
    {
        assert_eq!(node.add("c1", &config), [expected]);
        node.call("DEL", "c1", &config).unwrap();
    }
}

#[test]
fn an_exhausted_pool_says_so_as_the_reference_does() {
    let node = Node::new();
    let config = node.config(json!({"subnet": "10.1.2.0/30"}));
    assert_eq!(node.add("c1", &config), ["10.1.2.2/30"]);
    let failure = node.refused("c2", &config, "");
    assert_eq!(failure.code, 999);
    assert_eq!(
        failure.msg,
        "failed to allocate for range 0: no IP addresses available in range set: 10.1.2.1-10.1.2.2"
    );
}

#[test]
fn a_second_add_is_refused_as_the_reference_does() {
    let node = Node::new();
    let config = node.config(json!({"subnet": "10.1.2.0/24"}));
    node.add("c1", &config);
    for arguments in ["", "IP=10.1.2.9"] {
        assert_eq!(
            node.refused("c1", &config, arguments).msg,
            "failed to allocate for range 0: 10.1.2.2 has been allocated to c1, duplicate allocation is not allowed"
        );
    }
    assert_eq!(node.held(), ["10.1.2.2"]);
}

#[test]
fn a_requested_address_is_given_or_refused_as_the_reference_does() {
    let node = Node::new();
    let mut config = node.config(json!({"ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00::/64"}]]}));
    config["args"] = json!({"cni": {"ips": ["fd00::7/64"]}});
    let result = node.call_with("ADD", "c1", &config, "IgnoreUnknown=1;IP=10.1.2.9").unwrap().unwrap();
    assert_eq!(addresses(&result), ["10.1.2.9/24", "fd00::7/64"]);
    for (arguments, expected) in [
        (
            "IP=10.1.2.9",
            "failed to allocate for range 0: requested IP address 10.1.2.9 is not available in range set 10.1.2.1-10.1.2.254",
        ),
        ("IP=10.1.2.1", "failed to allocate for range 0: requested ip 10.1.2.1 is subnet's gateway"),
        ("IP=10.9.9.9", "failed to allocate all requested IPs: 10.9.9.9"),
    ] {
        assert_eq!(node.refused("c2", &config, arguments).msg, expected);
    }
    // The first set's address was reserved and released.
    assert!(node.refused("c2", &config, "").msg.starts_with("failed to allocate for range 1: "));
    assert_eq!(node.held(), ["10.1.2.9", "fd00::7"]);
}

#[test]
fn no_gateway_of_any_range_is_allocated() {
    let node = Node::new();
    let range = |start: &str, end: &str, gateway: &str| json!({"subnet": "10.1.2.0/24", "rangeStart": start, "rangeEnd": end, "gateway": gateway});
    let config = node.config(json!({"ranges": [
        [range("10.1.2.10", "10.1.2.11", "10.1.2.20"), range("10.1.2.20", "10.1.2.21", "10.1.2.10")],
        [range("10.1.2.30", "10.1.2.31", "10.1.2.11")],
    ]}));
    assert_eq!(node.add("c1", &config), ["10.1.2.21/24", "10.1.2.30/24"]);
    assert_eq!(
        node.refused("c2", &config, "IP=10.1.2.11").msg,
        "failed to allocate for range 0: requested ip 10.1.2.11 is subnet's gateway"
    );
}

#[test]
fn an_empty_reservation_does_not_lose_its_address() {
    let node = Node::new();
    let config = node.config(json!({"subnet": "10.1.2.0/29"}));
    node.add("c1", &config);
    for last in 3..=6 {
        fs::write(node.directory().join(format!("10.1.2.{last}")), "").unwrap();
    }
    let given: BTreeSet<_> =
        (2..6).map(|number| node.add(&format!("c{number}"), &config).remove(0)).collect();
    assert_eq!(given.len(), 4);
    assert!(node.refused("c7", &config, "").msg.contains("no IP addresses available"));
}

#[test]
fn del_needs_nothing_of_the_config_but_the_directory() {
    let node = Node::new();
    node.add("c1", &node.config(json!({"subnet": "10.1.2.0/24"})));
    let mut broken = node.config(json!({"subnet": 7, "ranges": "all", "routes": 1, "resolvConf": []}));
    broken["runtimeConfig"] = json!({"ipRanges": "none", "ips": 3});
    node.call("DEL", "c1", &broken).unwrap();
    node.call("DEL", "c1", &broken).unwrap();
    assert_eq!(names(&node.directory()), ["last_reserved_ip.0", "lock"]);
}

#[test]
fn del_before_any_add_makes_no_directory() {
    let node = Node::new();
    node.call("DEL", "c1", &node.config(json!({"subnet": "10.1.2.0/24"}))).unwrap();
    assert!(!node.data_dir().exists());
}

#[test]
fn check_finds_the_reservation_or_says_so_as_the_reference_does() {
    let node = Node::new();
    let config = node.config(json!({"subnet": "10.1.2.0/24"}));
    let missing = || node.call("CHECK", "c1", &config).unwrap_err().msg;
    let expected = "host-local: Failed to find address added by container c1";
    assert_eq!(missing(), expected);
    assert!(!node.data_dir().exists());
    node.add("c1", &config);
    node.call("CHECK", "c1", &config).unwrap();
    node.call("DEL", "c1", &config).unwrap();
    assert_eq!(missing(), expected);
}

#[test]
fn gc_keeps_what_is_valid_and_needs_no_ranges() {
    let node = Node::new();
    let config = node.config(json!({"subnet": "10.1.2.0/24"}));
    for container_id in ["c1", "c2"] {
        node.add(container_id, &config);
    }
    for (last, text) in [(100, "c1"), (101, "c9"), (102, ""), (103, "kept for the printer")] {
        fs::write(node.directory().join(format!("10.1.2.{last}")), text).unwrap();
    }
    let mut gc = node.config(json!({}));
    node.call("GC", "", &gc).unwrap();
    assert_eq!(node.held().len(), 6);
    gc["cni.dev/valid-attachments"] = json!([{"containerID": "c1", "ifname": "eth0"}]);
    node.call("GC", "", &gc).unwrap();
    assert_eq!(node.held(), ["10.1.2.100", "10.1.2.103", "10.1.2.2"]);
    gc["cni.dev/valid-attachments"] = json!(null);
    node.call("GC", "", &gc).unwrap();
    assert_eq!(names(&node.directory()), ["10.1.2.103", "last_reserved_ip.0", "lock"]);
}

#[test]
fn status_tells_whether_add_could_be_served() {
    let node = Node::new();
    node.call("STATUS", "", &node.config(json!({}))).unwrap();
    let failure = node.call("STATUS", "", &json!({"cniVersion": "1.1.0", "name": "net1"})).unwrap_err();
    assert_eq!((failure.code, failure.msg.as_str()), (50, "IPAM config missing 'ipam' key"));
    let failure = node.call("STATUS", "", &node.config(json!({"subnet": "10.0.0.0/32"}))).unwrap_err();
    assert_eq!(failure.code, 50);
    // Nothing was written for that.
    assert!(!node.data_dir().exists());
    fs::write(node.data_dir(), "").unwrap();
    let failure = node.call("STATUS", "", &node.config(json!({}))).unwrap_err();
    assert_eq!(failure.code, 50, "{failure}");
}

#[test]
fn a_bad_config_is_refused_with_key_and_value_and_changes_nothing() {
    let node = Node::new();
    let ranges = |ranges: Value| node.config(json!({ "ranges": ranges }));
    for (config, expected) in [
        (node.config(json!({})), "no IP ranges specified"),
        (ranges(json!([[]])), "ipam.ranges[0]: empty range set"),
        (ranges(json!([[{}]])), "ipam.ranges[0][0].subnet is missing"),
        (ranges(json!([[{"subnet": "10.0.0"}]])), "ipam.ranges[0][0].subnet"),
        (
            ranges(json!([[{"subnet": "10.1.2.0/24"}, {"subnet": "fd00::/64"}]])),
            "ipam.ranges[0]: mixed address families",
        ),
        (
            ranges(json!([[{"subnet": "10.1.2.0/24"}], [{"subnet": "10.1.2.128/25"}]])),
            "range set 0 overlaps with 1: ipam.ranges[0] is 10.1.2.1-10.1.2.254, ipam.ranges[1] is 10.1.2.129-10.1.2.254",
        ),
        (node.config(json!({"subnet": "10.1.2.0/24", "routes": [{"dst": "x"}]})), "ipam.routes[0].dst"),
    ] {
        let failure = node.refused("c1", &config, "");
        assert_eq!(failure.code, 7, "{failure}");
        assert!(failure.msg.contains(expected), "{failure}");
    }
    assert!(!node.data_dir().exists());
}

#[test]
fn an_old_version_has_one_address_of_each_family() {
    let node = Node::new();
    let mut config =
        node.config(json!({"ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "10.1.3.0/24"}]]}));
    config["cniVersion"] = json!("0.2.0");
    let failure = node.refused("c1", &config, "");
    assert_eq!(failure.msg, "CNI version 0.2.0 does not support more than 1 address per family");
    config["ipam"]["ranges"][1] = json!([{"subnet": "fd00::/64"}]);
    assert!(node.call("ADD", "c1", &config).is_ok());
}

#[test]
fn many_at_once_never_get_the_same_address() {
    let node = Node::new();
    let config = node.config(json!({"ranges": [[{"subnet": "10.1.2.0/25"}], [{"subnet": "fd00::/64"}]]}));
    let given: Vec<String> = std::thread::scope(|scope| {
        let (node, config) = (&node, &config);
        let workers: Vec<_> = (0..12)
            .map(|worker| {
                scope.spawn(move || {
                    let mut given = Vec::new();
                    for round in 0..10 {
                        let passing = format!("passing-{worker}-{round}");
                        node.add(&passing, config);
                        given.extend(node.add(&format!("staying-{worker}-{round}"), config));
                        node.call("DEL", &passing, config).unwrap();
                    }
                    given
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert_eq!(given.len(), 240);
    assert_eq!(given.iter().collect::<HashSet<_>>().len(), 240);
    assert_eq!(node.held().len(), 240);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn adds_and_dels_follow_a_plain_model(
        steps in prop::collection::vec((any::<bool>(), 0usize..10, prop::option::weighted(0.3, 0u8..16)), 1..60),
        gateway in 0u8..16, start in 0u8..8, end in 8u8..16,
    ) {
        let node = Node::new();
        let ip = |last: u8| format!("10.0.0.{last}");
        let config = node.config(json!({
            "subnet": "10.0.0.0/28", "rangeStart": ip(start), "rangeEnd": ip(end), "gateway": ip(gateway),
        }));
        let mut holders: Vec<Option<u8>> = vec![None; 10];
        let mut last: Option<u8> = None;
        for (is_add, who, requested) in steps {
            let container_id = format!("c{who}");
            if !is_add {
                node.call("DEL", &container_id, &config).unwrap();
                holders[who] = None;
                continue;
            }
            let is_free = |last: u8| last != gateway && !holders.contains(&Some(last));
            let order: Vec<u8> = match last {
                Some(last) => (last + 1..=end).chain(start..=last).collect(),
                None => (start..=end).collect(),
            };
            let expected = match requested {
                _ if holders[who].is_some() => None,
                Some(asked) => Some(asked).filter(|asked| order.contains(asked) && is_free(*asked)),
                None => order.into_iter().find(|last| is_free(*last)),
            };
            let arguments = requested.map(|asked| format!("IP={}", ip(asked))).unwrap_or_default();
            let outcome = node.call_with("ADD", &container_id, &config, &arguments);
            let given = outcome.ok().flatten().map(|result| addresses(&result).remove(0));
            prop_assert_eq!(given, expected.map(|last| format!("{}/28", ip(last))));
            if expected.is_some() {
                holders[who] = expected;
                last = expected;
            }
        }
        let expected: BTreeSet<String> = holders.into_iter().flatten().map(ip).collect();
        prop_assert_eq!(node.held().into_iter().collect::<BTreeSet<_>>(), expected);
    }

    #[test]
    fn no_config_makes_it_panic(text in "[a-zA-Z0-9./:]{0,20}", number in any::<f64>()) {
        let node = Node::new();
        for value in [json!(text), json!(number), json!(null), json!([text]), json!([[text]]), json!([[{"subnet": text, "gateway": text}]])] {
            for key in ["ranges", "subnet", "rangeStart", "gateway", "routes", "resolvConf"] {
                let mut config = node.config(json!({"subnet": "10.0.0.0/28", key: value}));
                config["args"] = json!({"cni": {"ips": value}});
                let _ = node.call_with("ADD", "c1", &config, &format!("IP={text}"));
                node.call("DEL", "c1", &config).unwrap();
                prop_assert_eq!(node.held(), Vec::<String>::new());
            }
        }
    }
}
