//! `host-local`, and how `bridge` delegates to it and to others.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tests::config::{bridge, changed, host_local};
use tests::{Failure, Look, Node, Pod, with_prev_result};

const STORE: &str = "/var/lib/cni/networks/pods";

/// A config of `host-local` itself.
fn ipam(ipam: Value) -> Value {
    json!({"cniVersion": "1.0.0", "name": "pods", "type": "host-local", "ipam": ipam})
}

fn subnet(subnet: &str) -> Value {
    ipam(json!({"type": "host-local", "subnet": subnet}))
}

/// The names in the store, in order, without hidden ones.
fn store() -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(STORE).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

fn add(node: &Node, id: &str, config: &Value) -> Result<Value, Failure> {
    node.call("host-local", &Pod::new(id)).verb("ADD", config)
}

/// The address that a container gets.
fn address(node: &Node, id: &str, config: &Value) -> String {
    add(node, id, config).unwrap()["ips"][0]["address"].as_str().unwrap().to_owned()
}

fn refusal(node: &Node, id: &str, config: &Value) -> String {
    add(node, id, config).unwrap_err().msg
}

mod files {
    use super::*;

    #[test]
    fn the_files_are_the_references() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let call = node.call("host-local", &pod);
        let result = call.add(&subnet("10.244.0.0/24"));
        let ips = json!([{"address": "10.244.0.2/24", "gateway": "10.244.0.1"}]);
        assert_eq!(result, json!({"cniVersion": "1.0.0", "ips": ips, "dns": {}}));
        assert_eq!(store(), ["10.244.0.2", "last_reserved_ip.0", "lock"]);
        assert_eq!(fs::read(format!("{STORE}/10.244.0.2")).unwrap(), b"c1\r\neth0");
        assert_eq!(fs::read(format!("{STORE}/last_reserved_ip.0")).unwrap(), b"10.244.0.2");
        call.check(&subnet("10.244.0.0/24"), &result);
        call.del(&subnet("10.244.0.0/24"));
        call.del(&subnet("10.244.0.0/24"));
        assert_eq!(store(), ["last_reserved_ip.0", "lock"]);
    }

    #[test]
    fn each_range_set_has_its_own_last_address() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        node.call("host-local", &pod).add(&ipam(host_local(&[
            "10.244.0.0/24",
            "fd00:244::/64",
            "10.9.0.0/24",
        ])));
        let files = ["10.244.0.2", "10.9.0.2", "fd00:244::2"];
        let last = ["last_reserved_ip.0", "last_reserved_ip.1", "last_reserved_ip.2", "lock"];
        assert_eq!(store(), [&files[..], &last[..]].concat());
        assert_eq!(fs::read(format!("{STORE}/last_reserved_ip.1")).unwrap(), b"fd00:244::2");
    }

    #[test]
    fn the_folder_may_be_elsewhere() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let config = ipam(json!({"type": "host-local", "subnet": "10.244.0.0/24", "dataDir": "/mnt/state"}));
        node.call("host-local", &pod).add(&config);
        assert!(Path::new("/mnt/state/pods/10.244.0.2").exists() && !Path::new(STORE).exists());
        node.call("host-local", &pod).del(&config);
        assert!(!Path::new("/mnt/state/pods/10.244.0.2").exists());
    }

    #[test]
    fn the_lock_is_waited_for() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        fs::create_dir_all(STORE).unwrap();
        let lock = fs::File::create(format!("{STORE}/lock")).unwrap();
        lock.lock().unwrap();
        let running = node.call("host-local", &pod).start("ADD", &subnet("10.244.0.0/24"));
        // The kernel says when it waits.
        tests::eventually("the plugin waits for the lock", || {
            node.look("cat /proc/locks").lines().any(|line| line.contains("->") && line.contains("FLOCK"))
        });
        assert_eq!(store(), ["lock"]);
        drop(lock);
        running.answer().unwrap();
        assert_eq!(store(), ["10.244.0.2", "last_reserved_ip.0", "lock"]);
    }

    #[test]
    fn foreign_files_are_left_alone() {
        let node = Node::new();
        fs::create_dir_all(STORE).unwrap();
        fs::write(format!("{STORE}/10.244.0.2"), "kept for the printer").unwrap();
        fs::write(format!("{STORE}/notes.txt"), "mine").unwrap();
        assert_eq!(address(&node, "c1", &subnet("10.244.0.0/24")), "10.244.0.3/24");
        node.call("host-local", &Pod::new("c1")).del(&subnet("10.244.0.0/24"));
        assert_eq!(store(), ["10.244.0.2", "last_reserved_ip.0", "lock", "notes.txt"]);
    }
}

mod allocation {
    use super::*;

    #[test]
    fn addresses_go_round_and_a_released_one_is_the_last_to_come_again() {
        let node = Node::new();
        let range = ipam(json!({
            "type": "host-local", "subnet": "10.244.0.0/24", "rangeStart": "10.244.0.10", "rangeEnd": "10.244.0.12",
        }));
        let mut seen = Vec::new();
        for number in 0..5 {
            let id = format!("c{number}");
            seen.push(address(&node, &id, &range));
            node.call("host-local", &Pod::new(&id)).del(&range);
        }
        let expected = [10, 11, 12, 10, 11].map(|last| format!("10.244.0.{last}/24"));
        assert_eq!(seen, expected);
    }

    #[test]
    fn an_address_is_asked_for_in_three_ways() {
        for (number, (pairs, args, runtime)) in [
            ("IP=10.244.0.50", json!([]), json!([])),
            ("", json!(["10.244.0.50"]), json!([])),
            ("", json!([]), json!(["10.244.0.50"])),
            ("IP=10.244.0.50/24", json!(null), json!(null)),
            ("IP=", json!(["10.244.0.50/24"]), json!([""])),
        ]
        .into_iter()
        .enumerate()
        {
            let (node, pod) = (Node::new(), Pod::new("c1"));
            let changes = json!({"args": {"cni": {"ips": args}}, "runtimeConfig": {"ips": runtime}});
            let config = changed(&subnet("10.244.0.0/24"), changes);
            let call = node.call("host-local", &pod).with("CNI_ARGS", pairs);
            assert_eq!(call.add(&config)["ips"][0]["address"], "10.244.0.50/24", "case {number}");
        }
    }

    #[test]
    fn each_family_gets_the_address_that_was_asked_for_in_it() {
        let node = Node::new();
        let config = changed(
            &ipam(host_local(&["10.244.0.0/24", "fd00:244::/64"])),
            json!({"runtimeConfig": {"ips": ["fd00:244::99", "10.244.0.99"]}}),
        );
        let ips = add(&node, "c1", &config).unwrap()["ips"].clone();
        assert_eq!(
            (&ips[0]["address"], &ips[1]["address"]),
            (&json!("10.244.0.99/24"), &json!("fd00:244::99/64"))
        );
    }

    #[test]
    fn an_unavailable_address_is_named() {
        let node = Node::new();
        let ask = |ip: &str| changed(&subnet("10.244.0.0/24"), json!({"runtimeConfig": {"ips": [ip]}}));
        address(&node, "c1", &ask("10.244.0.50"));
        for (ip, text) in [
            (
                "10.244.0.50",
                "failed to allocate for range 0: requested IP address 10.244.0.50 is not available in range set 10.244.0.1-10.244.0.254",
            ),
            ("10.244.0.1", "failed to allocate for range 0: requested ip 10.244.0.1 is subnet's gateway"),
            ("10.9.0.1", "failed to allocate all requested IPs: 10.9.0.1"),
        ] {
            assert_eq!(refusal(&node, "c2", &ask(ip)), text);
        }
        assert_eq!(store(), ["10.244.0.50", "last_reserved_ip.0", "lock"]);
    }

    #[test]
    fn a_refusal_names_the_holder_of_a_requested_address_and_the_ranges() {
        let node = Node::new();
        let ask = |ip: &str| changed(&subnet("10.244.0.0/24"), json!({"runtimeConfig": {"ips": [ip]}}));
        address(&node, "c1", &ask("10.244.0.50"));
        let file = fs::File::options().append(true).open(format!("{STORE}/10.244.0.50")).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
        for (ip, text) in [
            (
                "10.244.0.50",
                "requested IP address 10.244.0.50 is not available in range set 10.244.0.1-10.244.0.254; \
                 reserved in /var/lib/cni/networks/pods/10.244.0.50 for eth0 of container c1 since 2001-09-09T01:46:40Z",
            ),
            (
                "10.9.0.1",
                "failed to allocate all requested IPs: 10.9.0.1; each range set gives one address of its ranges: \
                 ipam has 10.244.0.1-10.244.0.254",
            ),
        ] {
            let message = add(&node, "c2", &ask(ip)).unwrap_err().message;
            assert!(message.contains(text), "{message}");
        }
    }

    #[test]
    fn a_link_of_two_addresses_has_one_for_the_pod_and_one_for_its_gateway() {
        for (range, expected, gateway) in [
            (json!({"subnet": "10.244.0.6/31"}), "10.244.0.7/31", "10.244.0.6"),
            (json!({"subnet": "10.244.0.6/31", "gateway": "10.244.0.7"}), "10.244.0.6/31", "10.244.0.7"),
            (json!({"subnet": "fd00:244::8/127"}), "fd00:244::9/127", "fd00:244::8"),
            (
                json!({"subnet": "fd00:244::8/127", "gateway": "fd00:244::9"}),
                "fd00:244::8/127",
                "fd00:244::9",
            ),
        ] {
            let (node, pod) = (Node::new(), Pod::new("c1"));
            let config =
                bridge(json!({"isGateway": true, "ipam": {"type": "host-local", "ranges": [[range]]}}));
            let result = node.call("bridge", &pod).add(&config);
            assert_eq!(result["ips"][0]["address"], expected);
            assert_eq!(pod.addresses("eth0"), [expected]);
            assert!(pod.reaches(gateway, 56), "{gateway}");
            node.call("bridge", &pod).check(&config, &result);
            let failure = node.call("bridge", &Pod::new("c2")).verb("ADD", &config).unwrap_err();
            assert!(failure.msg.contains("no IP addresses available in range set"), "{failure:?}");
            node.call("bridge", &pod).del(&config);
        }
    }

    #[test]
    fn the_runtime_brings_ranges_in_either_spelling() {
        for range in [
            json!({"subnet": "10.5.0.0/24", "rangeStart": "10.5.0.20", "gateway": "10.5.0.254"}),
            json!({"Subnet": "10.5.0.0/24", "RangeStart": "10.5.0.20", "RangeEnd": "", "Gateway": "10.5.0.254"}),
        ] {
            let node = Node::new();
            let config = changed(
                &ipam(json!({"type": "host-local"})),
                json!({"runtimeConfig": {"ipRanges": [[range]]}}),
            );
            let result = add(&node, "c1", &config).unwrap();
            assert_eq!(result["ips"], json!([{"address": "10.5.0.20/24", "gateway": "10.5.0.254"}]));
        }
    }

    #[test]
    fn a_set_continues_with_its_next_range() {
        let node = Node::new();
        let ranges = json!([[{"subnet": "10.1.0.0/30"}, {"subnet": "10.2.0.0/30"}]]);
        let config = ipam(json!({"type": "host-local", "ranges": ranges}));
        assert_eq!(address(&node, "c1", &config), "10.1.0.2/30");
        assert_eq!(address(&node, "c2", &config), "10.2.0.2/30");
        assert_eq!(
            refusal(&node, "c3", &config),
            "failed to allocate for range 0: no IP addresses available in range set: 10.1.0.1-10.1.0.2,10.2.0.1-10.2.0.2"
        );
    }

    #[test]
    fn addresses_of_earlier_sets_are_freed_when_a_later_one_is_exhausted() {
        let node = Node::new();
        let config = ipam(host_local(&["10.244.0.0/24", "10.1.0.0/30"]));
        add(&node, "c1", &config).unwrap();
        let refusal = refusal(&node, "c2", &config);
        assert!(
            refusal.starts_with("failed to allocate for range 1: no IP addresses available"),
            "{refusal}"
        );
        assert!(!store().contains(&"10.244.0.3".to_owned()));
    }

    #[test]
    fn a_second_address_for_one_interface_is_refused() {
        let node = Node::new();
        address(&node, "c1", &subnet("10.244.0.0/24"));
        assert_eq!(
            refusal(&node, "c1", &subnet("10.244.0.0/24")),
            "failed to allocate for range 0: 10.244.0.2 has been allocated to c1, duplicate allocation is not allowed"
        );
        assert_eq!(store(), ["10.244.0.2", "last_reserved_ip.0", "lock"]);
    }

    #[test]
    fn a_subnet_with_host_bits_is_its_network_and_worth_a_warning() {
        let (node, pod) = (Node::new(), Pod::new("a"));
        let text = r#"{"cniVersion": "0.3.1","type":"IGNORED", "name": "a","ipam": {"type": "host-local", "subnet":"10.1.2.3/24"}}"#;
        let output = node.call("host-local", &pod).raw("ADD", text);
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        let ips = json!([{"version": "4", "address": "10.1.2.2/24", "gateway": "10.1.2.1"}]);
        assert_eq!(result["ips"], ips);
        let warning = String::from_utf8_lossy(&output.stderr);
        assert!(warning.contains("10.1.2.3/24") && warning.contains("10.1.2.0/24"), "{warning}");
    }

    #[test]
    fn routes_and_resolver_settings_are_passed_on() {
        let node = Node::new();
        let file = node.file("resolv.conf", "nameserver 10.0.0.53\noptions ndots:5\n");
        let routes = json!([{"dst": "0.0.0.0/0"}, {"dst": "192.0.2.0/24", "gw": "10.244.0.9", "mtu": 1400, "table": 7}]);
        let config =
            json!({"type": "host-local", "subnet": "10.244.0.0/24", "routes": routes, "resolvConf": file});
        let result = add(&node, "c1", &ipam(config)).unwrap();
        assert_eq!(result["routes"], routes);
        assert_eq!(result["dns"], json!({"nameservers": ["10.0.0.53"], "options": ["ndots:5"]}));
    }

    #[test]
    fn a_resolver_file_that_is_missing_is_named_and_nothing_is_reserved() {
        let node = Node::new();
        let config = json!({"type": "host-local", "subnet": "10.244.0.0/24", "resolvConf": "/mnt/none"});
        let refusal = refusal(&node, "c1", &ipam(config));
        assert!(refusal.contains("ipam.resolvConf") && refusal.contains("/mnt/none"), "{refusal}");
        assert!(!Path::new(STORE).join("10.244.0.2").exists());
    }

    #[test]
    fn fifty_containers_at_once_get_fifty_addresses() {
        let node = Node::new();
        let pods: Vec<_> = (0..50).map(|number| Pod::new(&format!("c{number}"))).collect();
        let config = subnet("10.244.0.0/24");
        let running: Vec<_> =
            pods.iter().map(|pod| node.call("host-local", pod).start("ADD", &config)).collect();
        let mut addresses: Vec<_> = running
            .into_iter()
            .map(|running| running.answer().unwrap()["ips"][0]["address"].to_string())
            .collect();
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), 50);
    }

    #[test]
    fn check_and_gc_look_at_the_reservations() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let config = changed(&subnet("10.244.0.0/24"), json!({"cniVersion": "1.1.0"}));
        let call = node.call("host-local", &pod);
        let result = call.add(&config);
        address(&node, "c2", &config);
        let valid = json!({"cni.dev/valid-attachments": [{"containerID": "c2", "ifname": "eth0"}]});
        call.verb("GC", &changed(&config, valid)).unwrap();
        assert_eq!(store(), ["10.244.0.3", "last_reserved_ip.0", "lock"]);
        let failure = call.verb("CHECK", &with_prev_result(&config, &result)).unwrap_err();
        assert_eq!(failure.msg, "host-local: Failed to find address added by container c1");
    }
}

mod delegation {
    use super::*;

    /// Prints this ADD result, and notes each call in `/mnt/calls`.
    fn answering(result: &str) -> String {
        format!(
            "cat > /mnt/stdin; echo \"$CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME\" >> /mnt/calls; {result}"
        )
    }

    fn host_ends(node: &Node) -> Vec<String> {
        node.links().into_iter().filter(|name| name.starts_with("veth")).collect()
    }

    const RESULT: &str = r#"[ "$CNI_COMMAND" != ADD ] || echo '{"cniVersion": "1.0.0", "ips": [{"address": "10.9.0.7/24", "gateway": "10.9.0.1"}], "dns": {"nameservers": ["10.9.0.53"]}}'"#;

    fn calls() -> Vec<String> {
        fs::read_to_string("/mnt/calls").unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn theirs(changes: Value) -> Value {
        changed(&bridge(json!({"ipam": {"type": "theirs", "theirKey": [1]}})), changes)
    }

    /// A node with a host-local that is a copy of the executable that notes its calls in `/mnt/calls`.
    fn with_copy(node: Node) -> Node {
        node.look(&format!("mkdir /mnt/copy; cp {}/host-local /mnt/copy/host-local", node.bin().display()));
        node.with_script("host-local", "echo \"$CNI_COMMAND\" >> /mnt/calls; exec /mnt/copy/host-local")
    }

    /// The output of `bridge` in one call after the other, with host-local inside the process or outside.
    fn outputs(node: &Node, pod: &Pod, configs: &[Value]) -> Vec<String> {
        let mut outputs = Vec::new();
        node.look("rm -rf /var/lib/cni");
        for config in configs {
            for verb in ["ADD", "ADD", "DEL", "DEL"] {
                let output = node.call("bridge", pod).raw(verb, &config.to_string());
                outputs.push(format!("{verb} {}", String::from_utf8(output.stdout).unwrap()));
            }
        }
        outputs
    }

    #[test]
    fn it_makes_no_difference_whether_host_local_is_executed() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        // A given bridge and address, so that nothing of the result is left to chance.
        node.look("ip link add cni0 up type bridge");
        let with = |ipam: Value, ips: Value| {
            let runtime = json!({"mac": "02:00:00:00:00:01", "ips": ips});
            bridge(json!({"isGateway": true, "forceAddress": true, "ipam": ipam, "runtimeConfig": runtime}))
        };
        let full = json!({"type": "host-local", "subnet": "10.1.0.0/24", "rangeStart": "10.1.0.1", "rangeEnd": "10.1.0.1"});
        let configs = [
            with(host_local(&["10.244.0.0/24", "fd00:244::/64"]), json!(null)),
            with(host_local(&["10.244.0.0/24"]), json!(["10.244.0.77"])),
            with(host_local(&["10.244.0.0/24"]), json!(["10.9.0.1"])),
            with(host_local(&["10.244.0.0/24"]), json!(["nonsense"])),
            with(host_local(&["10.244.0.0/32"]), json!(null)),
            with(host_local(&["10.244.0.0/24", "10.244.0.128/25"]), json!(null)),
            with(
                json!({"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24", "rangeStart": "10.9.0.1"}]]}),
                json!(null),
            ),
            with(json!({"type": "host-local", "ranges": 7}), json!(null)),
            with(full, json!(null)),
        ];
        let inside = outputs(&node, &pod, &configs);
        assert!(calls().is_empty());
        let node = with_copy(node);
        let outside = outputs(&node, &pod, &configs);
        assert!(calls().iter().filter(|verb| *verb == "ADD").count() >= configs.len(), "{:?}", calls());
        assert_eq!(inside, outside);
        let errors = inside.iter().filter(|output| output.contains("\"code\"")).count();
        assert!(errors > configs.len(), "{inside:#?}");
    }

    #[test]
    fn a_copy_of_the_executable_serves_every_verb() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let node = with_copy(node);
        let config = bridge(json!({"cniVersion": "1.1.0"}));
        let call = node.call("bridge", &pod);
        let result = call.add(&config);
        call.check(&config, &result);
        for verb in ["STATUS", "GC"] {
            call.verb(verb, &config).unwrap();
        }
        call.del(&config);
        assert_eq!(calls(), ["ADD", "CHECK", "STATUS", "GC", "DEL"]);
        assert_eq!(store(), ["last_reserved_ip.0", "lock"]);
    }

    #[test]
    fn a_plugin_that_is_not_on_the_path_is_named() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        for (name, path) in
            [("nowhere", node.path()), ("host-local", "/mnt".to_owned()), ("../bin/sh", node.path())]
        {
            let call = node.call("bridge", &pod).with("CNI_PATH", &path);
            let failure = call.verb("ADD", &bridge(json!({"ipam": {"type": name}}))).unwrap_err();
            let named = format!("failed to find plugin {name:?} in path [{path}]");
            assert!(failure.message.contains(&named), "{failure:?}");
        }
        assert!(node.links().is_empty() && pod.links().is_empty());
    }

    #[test]
    fn another_plugin_gets_the_call_unchanged() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let node = node.with_script("theirs", &answering(RESULT));
        let config = theirs(json!({"isGateway": true}));
        let call = node.call("bridge", &pod);
        let result = call.add(&config);
        assert_eq!(pod.addresses("eth0"), ["10.9.0.7/24"]);
        assert_eq!(node.addresses("cni0"), ["10.9.0.1/24"]);
        assert_eq!(result["dns"], json!({"nameservers": ["10.9.0.53"]}));
        let stdin: Value = serde_json::from_str(&fs::read_to_string("/mnt/stdin").unwrap()).unwrap();
        assert_eq!(stdin, config);
        call.check(&config, &result);
        call.del(&config);
        assert_eq!(calls(), ["ADD c1 eth0", "CHECK c1 eth0", "DEL c1 eth0"]);
    }

    #[test]
    fn its_error_is_ours() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let error = r#"echo '{"cniVersion": "1.0.0", "code": 11, "msg": "the pool is moving", "details": "in a minute"}'; exit 1"#;
        let node = node.with_script("theirs", error);
        let failure = node.call("bridge", &pod).verb("ADD", &theirs(json!({}))).unwrap_err();
        assert_eq!((failure.code, failure.message.as_str()), (11, "the pool is moving; in a minute"));
        assert!(pod.links().is_empty() && host_ends(&node).is_empty());
        let failure = node.call("bridge", &pod).verb("DEL", &theirs(json!({}))).unwrap_err();
        assert_eq!((failure.code, failure.message.as_str()), (11, "the pool is moving; in a minute"));
    }

    #[test]
    fn an_answer_has_its_version_and_an_error_may_be_spelled_as_in_go() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let node =
            node.with_script("theirs", r#"echo '{"cniVersion": "0.2.0", "ip4": {"ip": "10.9.0.7/24"}}'"#);
        node.call("bridge", &pod).add(&theirs(json!({})));
        assert_eq!(pod.addresses("eth0"), ["10.9.0.7/24"]);
        let error = r#"echo '{"Code": 100, "Msg": "pool exhausted", "Details": null}'; exit 1"#;
        let (node, pod) = (node.with_script("theirs", error), Pod::new("c2"));
        let failure = node.call("bridge", &pod).verb("ADD", &theirs(json!({}))).unwrap_err();
        assert_eq!((failure.code, failure.message.as_str()), (100, "pool exhausted"));
    }

    #[test]
    fn a_plugin_is_not_its_own_address_manager() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let config = bridge(json!({"ipam": {"type": "bridge"}}));
        for verb in ["ADD", "DEL"] {
            let failure = node.call("bridge", &pod).verb(verb, &config).unwrap_err();
            assert_eq!(failure.code, 7, "{verb}: {failure:?}");
            assert!(failure.message.contains("ipam.type"), "{failure:?}");
        }
    }

    #[test]
    fn an_invalid_result_is_named_and_undone() {
        for answer in [
            "echo hello",
            "echo '{\"ips\": 7}'",
            ":",
            "echo '{\"cniVersion\": \"1.0.0\"}'",
            "echo crashed; exit 3",
        ] {
            let (node, pod) = (Node::new(), Pod::new("c1"));
            let on_add = format!("[ \"$CNI_COMMAND\" != ADD ] || {{ {answer}; }}");
            let node = node.with_script("theirs", &answering(&on_add));
            let failure = node.call("bridge", &pod).verb("ADD", &theirs(json!({}))).unwrap_err();
            assert!(failure.message.contains("theirs"), "{answer}: {failure:?}");
            assert_eq!(calls(), ["ADD c1 eth0", "DEL c1 eth0"], "{answer}");
            assert!(pod.links().is_empty() && host_ends(&node).is_empty());
        }
    }

    #[test]
    fn an_add_that_fails_later_gives_the_address_back() {
        for (what, changes) in [
            ("the bridge has another address", json!({"isGateway": true})),
            ("the bridge is none", json!({"bridge": "ifb9"})),
        ] {
            let (node, pod) = (Node::new(), Pod::new("c1"));
            node.look("ip link add cni0 up type bridge; ip addr add 10.77.0.1/24 dev cni0; ip link add ifb9 type ifb");
            let node = node.with_script("theirs", &answering(RESULT));
            node.call("bridge", &pod).verb("ADD", &theirs(changes)).unwrap_err();
            let calls = calls();
            assert!(calls.is_empty() || calls == ["ADD c1 eth0", "DEL c1 eth0"], "{what}: {calls:?}");
            assert_eq!(what == "the bridge has another address", !calls.is_empty(), "{what}: {calls:?}");
            assert!(pod.links().is_empty());
        }
    }
}
