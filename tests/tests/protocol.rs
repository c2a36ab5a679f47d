//! The protocol: environment, standard input, versions, errors, names of the executable.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tests::config::{bridge, changed, host_local};
use tests::{Call, Failure, Look, Node, Pod, eventually, installed, with_prev_result};

const VERSIONS: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
const PLUGINS: [&str; 9] =
    ["loopback", "bridge", "ptp", "host-local", "static", "bandwidth", "firewall", "tuning", "portmap"];

fn dual_stack(version: &str) -> Value {
    let mut ipam = host_local(&["10.244.0.0/24", "fd00:244::/64"]);
    ipam["routes"] = json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]);
    bridge(json!({"cniVersion": version, "isGateway": true, "ipam": ipam}))
}

/// The result that the specification of `version` shapes, with what the kernel chose filled in.
fn shape_of(version: &str, node: &Node, pod: &Pod) -> Value {
    let mac = |link: Value| link["address"].clone();
    let veth = &node.ports("cni0")[0];
    let interfaces = json!([
        {"name": "cni0", "mac": mac(node.link("cni0"))},
        {"name": veth, "mac": mac(node.link(veth))},
        {"name": "eth0", "mac": mac(pod.link("eth0")), "sandbox": pod.netns()},
    ]);
    let routes = json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]);
    match version {
        "0.1.0" | "0.2.0" => json!({
            "cniVersion": version,
            "ip4": {"ip": "10.244.0.2/24", "gateway": "10.244.0.1", "routes": [{"dst": "0.0.0.0/0"}]},
            "ip6": {"ip": "fd00:244::2/64", "gateway": "fd00:244::1", "routes": [{"dst": "::/0"}]},
            "dns": {},
        }),
        "0.3.0" | "0.3.1" | "0.4.0" => json!({
            "cniVersion": version,
            "interfaces": interfaces,
            "ips": [
                {"version": "4", "interface": 2, "address": "10.244.0.2/24", "gateway": "10.244.0.1"},
                {"version": "6", "interface": 2, "address": "fd00:244::2/64", "gateway": "fd00:244::1"},
            ],
            "routes": routes,
            "dns": {},
        }),
        _ => json!({
            "cniVersion": version,
            "interfaces": interfaces,
            "ips": [
                {"interface": 2, "address": "10.244.0.2/24", "gateway": "10.244.0.1"},
                {"interface": 2, "address": "fd00:244::2/64", "gateway": "fd00:244::1"},
            ],
            "routes": routes,
            "dns": {},
        }),
    }
}

#[test]
fn each_version_gets_its_own_result_and_is_served_to_the_end() {
    for version in VERSIONS {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let (call, config) = (node.call("bridge", &pod), dual_stack(version));
        let result = call.add(&config);
        assert_eq!(result, shape_of(version, &node, &pod), "{version}");
        if VERSIONS[4..].contains(&version) {
            call.check(&config, &result);
        }
        let gets_result = version >= "0.4.0";
        call.del(&if gets_result { with_prev_result(&config, &result) } else { config.clone() });
        assert_eq!(node.links(), ["cni0"], "{version}");
        assert!(pod.links().is_empty(), "{version}");
    }
}

#[test]
fn a_config_without_a_version_is_of_version_0_1_0() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let config = changed(&dual_stack(""), json!({"cniVersion": null}));
    assert_eq!(node.call("bridge", &pod).add(&config), shape_of("0.1.0", &node, &pod));
}

#[test]
fn version_is_answered_while_standard_input_is_silent() {
    for plugin in PLUGINS {
        let mut child = Command::new(installed().join(plugin))
            .env_clear()
            .env("CNI_COMMAND", "VERSION")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        eventually("VERSION ends without reading", || child.try_wait().unwrap().is_some());
        let answer: Value = serde_json::from_reader(child.stdout.take().unwrap()).unwrap();
        assert_eq!(answer, json!({"cniVersion": "1.1.0", "supportedVersions": VERSIONS}), "{plugin}");
    }
}

#[test]
fn version_does_not_look_at_the_other_variables() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let call = node.call("bridge", &pod).with("CNI_CONTAINERID", "-").with("CNI_IFNAME", "a/b");
    let answer = call.with("CNI_NETNS", "dummy").with("CNI_PATH", "dummy").verb("VERSION", &json!({}));
    assert_eq!(answer.unwrap()["supportedVersions"], json!(VERSIONS));
}

#[test]
fn without_a_command_the_plugin_prints_its_name_and_versions_on_standard_error() {
    for plugin in PLUGINS {
        let output = Command::new(installed().join(plugin)).env_clear().output().unwrap();
        assert!(output.status.success());
        assert!(output.stdout.is_empty());
        let banner = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<_> = banner.lines().collect();
        let version = lines[0].strip_prefix(&format!("CNI {plugin} plugin v")).unwrap();
        let numbers: Vec<_> = version.split('.').map(str::parse::<u32>).collect();
        assert!(numbers.len() == 3 && numbers.iter().all(Result::is_ok), "{banner}");
        assert_eq!(lines[1], format!("CNI protocol versions supported: {}", VERSIONS.join(", ")));
    }
}

#[test]
fn an_executable_with_a_prefixed_plugin_name_is_that_plugin() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    // A hard link must be on the same file system.
    let folder = tempfile::tempdir_in(node.bin().parent().unwrap()).unwrap();
    std::fs::hard_link(node.bin().join("bridge"), folder.path().join("buildkit-cni-bridge")).unwrap();
    symlink(node.bin().join("weir"), folder.path().join("buildkit-cni-host-local")).unwrap();
    let node = node.prefer(folder.path());

    let mut ipam = host_local(&["10.244.0.0/24"]);
    ipam["type"] = json!("buildkit-cni-host-local");
    let config = bridge(json!({"type": "buildkit-cni-bridge", "ipam": ipam}));
    let call = node.call("buildkit-cni-bridge", &pod);
    assert_eq!(call.add(&config)["ips"][0]["address"], "10.244.0.2/24");
    call.del(&config);
}

fn failure(call: &Call, verb: &str, config: &Value) -> Failure {
    call.verb(verb, config).unwrap_err()
}

#[test]
fn variables_that_are_missing_are_named() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    for (verb, missing) in [
        ("ADD", "CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH"),
        ("CHECK", "CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH"),
        ("DEL", "CNI_CONTAINERID,CNI_IFNAME,CNI_PATH"),
        ("GC", "CNI_PATH"),
        ("STATUS", "CNI_PATH"),
    ] {
        let names = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"];
        let call = names.into_iter().fold(node.call("bridge", &pod), |call, name| call.with(name, ""));
        let failure = failure(&call, verb, &bridge(json!({"cniVersion": "1.1.0"})));
        assert_eq!(failure.message, format!("required env variables [{missing}] missing"));
        assert_eq!(failure.code, 4, "{verb}");
    }
    let failure = failure(&node.call("bridge", &pod).with("CNI_NETNS", ""), "ADD", &bridge(json!({})));
    assert_eq!(failure.message, "required env variables [CNI_NETNS] missing");
}

#[test]
fn a_variable_that_cannot_be_is_refused_with_its_value() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let call = || node.call("bridge", &pod);
    for (call, verb, value) in [
        (call(), "ATTACH", "ATTACH"),
        (call(), "add", "add"),
        (call().with("CNI_CONTAINERID", "../c1"), "ADD", "../c1"),
        (call().with("CNI_CONTAINERID", "-c1"), "DEL", "-c1"),
        (call().with("CNI_IFNAME", "sixteen-letters-"), "ADD", "sixteen-letters-"),
        (call().with("CNI_IFNAME", "eth/0"), "ADD", "eth/0"),
        (call().with("CNI_IFNAME", "eth 0"), "CHECK", "eth 0"),
        (call().with("CNI_IFNAME", ".."), "DEL", ".."),
        (call().with("CNI_ARGS", "IgnoreUnknown=1;IP"), "ADD", "IP"),
    ] {
        let failure = failure(&call, verb, &bridge(json!({})));
        assert_eq!(failure.code, 4, "{failure:?}");
        assert!(failure.message.contains(value), "{failure:?}");
    }
    assert!(node.links().is_empty());
}

#[test]
fn standard_input_without_a_config_is_refused() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let named = |name: Value| changed(&bridge(json!({})), json!({ "name": name })).to_string();
    for (stdin, code, words) in [
        (String::new(), 6, "standard input is empty"),
        (" \n".to_owned(), 6, "standard input is empty"),
        ("bridge: cni0".to_owned(), 6, "line 1 column 1"),
        ("{\"name\": \"pods\"".to_owned(), 6, "EOF"),
        ("[]".to_owned(), 6, "want an object"),
        (named(json!(null)), 7, "missing network name"),
        (named(json!("")), 7, "missing network name"),
        (named(json!("po/ds")), 7, "po/ds"),
        (named(json!(7)), 7, "name: "),
    ] {
        let failure = node.call("bridge", &pod).verb_text("ADD", &stdin).unwrap_err();
        assert_eq!(failure.code, code, "{stdin}: {failure:?}");
        assert!(failure.message.contains(words), "{stdin}: {failure:?}");
    }
    assert!(node.links().is_empty());
}

#[test]
fn a_value_of_the_wrong_type_is_named_with_its_key() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let ipam = |ranges: Value| json!({"ipam": {"type": "host-local", "ranges": ranges}});
    for (changes, key, value) in [
        (json!({"isGateway": "yes"}), "isGateway", "\"yes\""),
        (json!({"mtu": "1500"}), "mtu", "\"1500\""),
        (json!({"mtu": 1400.5}), "mtu", "1400.5"),
        (json!({"mtu": 1500.5}), "mtu", "1500.5"),
        (json!({"bridge": ["cni0"]}), "bridge", "[\"cni0\"]"),
        (json!({"ipam": "host-local"}), "ipam", "\"host-local\""),
        (ipam(json!({"subnet": "10.0.0.0/8"})), "ipam.ranges", "{\"subnet\":\"10.0.0.0/8\"}"),
        (ipam(json!([[{"subnet": "10.0.0/8"}]])), "ipam.ranges[0][0].subnet", "\"10.0.0/8\""),
    ] {
        let failure = failure(&node.call("bridge", &pod), "ADD", &bridge(changes));
        assert_eq!(failure.code, 7, "{failure:?}");
        assert!(failure.message.contains(key) && failure.message.contains(value), "{failure:?}");
    }
}

#[test]
fn a_version_or_a_verb_that_it_does_not_have_is_refused() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    for (verb, version, words) in [
        ("ADD", "1.2.0", "incompatible CNI versions; config is \"1.2.0\""),
        ("DEL", "v1.0.0", "incompatible CNI versions; config is \"v1.0.0\""),
        ("CHECK", "0.3.1", "config version does not allow CHECK"),
        ("GC", "1.0.0", "config version does not allow GC"),
        ("STATUS", "1.0.0", "config version does not allow STATUS"),
    ] {
        let failure = failure(&node.call("bridge", &pod), verb, &bridge(json!({"cniVersion": version})));
        assert_eq!(failure.code, 1, "{failure:?}");
        assert!(failure.message.starts_with(words), "{failure:?}");
    }
}

#[test]
fn the_plugins_own_namespace_is_refused_before_anything_is_done() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let before = node.fingerprint();
    let config = bridge(json!({"isGateway": true, "ipMasq": true}));
    for verb in ["ADD", "CHECK"] {
        let call = node.call("bridge", &pod).with("CNI_NETNS", "/proc/self/ns/net");
        let failure = failure(&call, verb, &config);
        assert_eq!(failure.code, 8, "{failure:?}");
        assert!(failure.message.contains("/proc/self/ns/net"), "{failure:?}");
    }
    assert_eq!(node.fingerprint(), before);
    assert!(!Path::new("/var/lib/cni").exists());
}

#[test]
fn a_del_with_the_plugins_own_namespace_removes_everything_and_reports_it() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let config = bridge(json!({"isGateway": true, "ipMasq": true, "macspoofchk": true}));
    let call = || node.call("bridge", &pod);
    call().add(&config);
    call().del(&config);
    let before = node.fingerprint();
    call().add(&config);
    let output = call().with("CNI_NETNS", "/proc/self/ns/net").raw("DEL", &config.to_string());
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("CNI_NETNS") && said.contains("/proc/self/ns/net"), "{said}");
    assert_eq!(node.fingerprint(), before);
    assert!(pod.links().is_empty());
}

/// One that is executed must not be told the namespace either.
#[test]
fn a_delegate_is_not_told_the_plugins_own_namespace() {
    let pod = Pod::new("c1");
    let node = Node::new().with_script("other-ipam", "echo \"netns=$CNI_NETNS.\" > /mnt/told");
    let config = bridge(json!({"ipam": {"type": "other-ipam"}}));
    node.call("bridge", &pod).with("CNI_NETNS", "/proc/self/ns/net").del(&config);
    assert_eq!(node.look("cat /mnt/told").trim(), "netns=.");
}

#[test]
fn a_fifo_for_a_namespace_is_refused_by_add_and_ignored_by_del() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.look("mkfifo /mnt/fifo");
    for plugin in ["loopback", "bridge", "bandwidth"] {
        let result = json!({"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "sandbox": "/mnt/fifo"}]});
        let config = json!({
            "cniVersion": "1.0.0", "name": "pods", "type": plugin, "ingressRate": 1_000_000, "ingressBurst": 800_000,
            "prevResult": result,
        });
        let call = node.call(plugin, &pod).with("CNI_NETNS", "/mnt/fifo");
        let failure = failure(&call, "ADD", &config);
        assert!(failure.message.contains("/mnt/fifo"), "{plugin}: {failure:?}");
        call.del(&config);
    }
    assert_eq!(node.look("ip -o link show type veth"), "");
}

#[test]
fn the_plugins_own_namespace_is_served_with_the_override() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let call = || node.call("bridge", &pod).with("CNI_NETNS", "/proc/self/ns/net");
    let config = bridge(json!({}));
    for (word, allows) in [("1", true), ("TRUE", true), ("0", false), ("no", false)] {
        let call = call().with("CNI_NETNS_OVERRIDE", word);
        assert_eq!(call.verb("ADD", &config).is_ok(), allows, "{word}");
        if allows {
            assert_eq!(node.addresses("eth0").len(), 1);
            call.del(&config);
        }
        assert!(!node.links().contains(&"eth0".to_owned()));
    }
}

#[test]
fn keys_match_in_any_case() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let config = json!({
        "CNIVersion": "1.0.0", "Name": "pods", "TYPE": "bridge", "BRIDGE": "br7", "IsDefaultGateway": true,
        "IPAM": {"Type": "host-local", "RANGES": [[{"SUBNET": "10.7.0.0/24", "rangestart": "10.7.0.9"}]]},
        "RuntimeConfig": {"MAC": "02:00:00:00:00:07"},
    });
    let result = node.call("bridge", &pod).add(&config);
    assert_eq!(result["cniVersion"], "1.0.0");
    assert_eq!(pod.addresses("eth0"), ["10.7.0.9/24"]);
    assert_eq!(pod.link("eth0")["address"], "02:00:00:00:00:07");
    assert_eq!(node.addresses("br7"), ["10.7.0.1/24"]);
}

#[test]
fn null_is_absent() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let text = r#"{
        "cniVersion": "1.0.0", "name": "pods", "type": "bridge", "bridge": null, "isGateway": null, "mtu": null,
        "vlanTrunk": null, "dns": null, "prevResult": null, "runtimeConfig": {"mac": null, "ips": null, "ipRanges": null},
        "args": {"cni": null}, "capabilities": null,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.7.0.0/24", "gateway": null}]], "routes": null,
                 "dataDir": null, "resolvConf": null}
    }"#;
    let result = node.call("bridge", &pod).verb_text("ADD", text).unwrap();
    assert_eq!(result["interfaces"][0]["name"], "cni0");
    assert!(node.addresses("cni0").is_empty());
}

#[test]
fn unknown_keys_are_ignored() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let mut ipam = host_local(&["10.244.0.0/24"]);
    ipam["resolvConfig"] = json!(7);
    ipam["ranges"][0][0]["comment"] = json!({"by": "another"});
    let config = bridge(json!({
        "addIf": "true", "nerdctlLabels": {"a": 1}, "capabilities": {"snat": true, "portMappings": true},
        "runtimeConfig": {"portMappings": [{"HostPort": 80}]}, "args": {"cni": {"labels": []}}, "ipam": ipam,
    }));
    node.call("bridge", &pod).add(&config);
}

#[test]
fn numbers_may_have_gone_through_a_float() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    for mtu in ["1.4e3", "1400.0", "1400"] {
        let text = bridge(json!({"mtu": "MTU"})).to_string().replace("\"MTU\"", mtu);
        let call = node.call("bridge", &pod);
        call.verb_text("ADD", &text).unwrap();
        assert_eq!(pod.link("eth0")["mtu"], 1400, "{mtu}");
        call.del(&bridge(json!({})));
    }
}

/// How many JSON objects stand on standard output; anything else there fails the test.
fn objects(output: &Output) -> usize {
    let values = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
    values.map(|value| assert!(value.expect("standard output is JSON").is_object())).count()
}

#[test]
fn standard_output_has_one_object_or_nothing() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let call = node.call("bridge", &pod);
    // A range with host bits is worth a warning.
    let config = bridge(json!({"cniVersion": "1.1.0", "ipam": host_local(&["10.244.0.7/24"])}));
    let added = call.raw("ADD", &config.to_string());
    assert_eq!((added.status.code(), objects(&added)), (Some(0), 1));
    assert!(String::from_utf8_lossy(&added.stderr).contains("host bits"));

    let result: Value = serde_json::from_slice(&added.stdout).unwrap();
    let config = with_prev_result(&config, &result).to_string();
    for verb in ["CHECK", "STATUS", "GC", "DEL", "DEL"] {
        let output = call.raw(verb, &config);
        assert_eq!((output.status.code(), objects(&output)), (Some(0), 0), "{verb}");
    }

    for (verb, stdin) in [("ADD", "nonsense"), ("CHECK", &config), ("NONE", "")] {
        let failed = call.raw(verb, stdin);
        assert_eq!((failed.status.code(), objects(&failed)), (Some(1), 1), "{verb}");
        assert!(!String::from_utf8_lossy(&failed.stderr).contains("\"code\""), "{verb}");
    }
}

#[test]
fn cni_args_come_in_any_order_with_any_others() {
    let node = Node::new();
    let pairs =
        ["IgnoreUnknown=1", "K8S_POD_NAME=web-0", "IP=10.244.0.77", "X=", "MAC=02:00:00:00:00:4d", "A=b=c"];
    for order in [pairs.to_vec(), pairs.into_iter().rev().collect(), pairs[1..].to_vec()] {
        let pod = Pod::new("c1");
        let call = node.call("bridge", &pod).with("CNI_ARGS", order.join(";"));
        call.add(&bridge(json!({})));
        assert_eq!(pod.addresses("eth0"), ["10.244.0.77/24"]);
        assert_eq!(pod.link("eth0")["address"], "02:00:00:00:00:4d");
        call.del(&bridge(json!({})));
    }
}

#[test]
fn broken_cni_args_do_not_stop_a_del() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.call("bridge", &pod).add(&bridge(json!({})));
    node.call("bridge", &pod).with("CNI_ARGS", "IgnoreUnknown;;=").del(&bridge(json!({})));
    assert!(pod.links().is_empty());
}

#[test]
fn a_full_standard_error_keeps_no_plugin_from_its_work() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let config = bridge(json!({"ipMasq": true, "ipMasqBackend": "iptables"}));
    let call = |verb: &str| {
        let file = node.file("config.json", &config.to_string());
        let command = format!(
            "CNI_COMMAND={verb} CNI_CONTAINERID=c1 CNI_NETNS={} CNI_IFNAME=eth0 CNI_PATH={} {}/bridge < {} 2> /dev/full",
            pod.netns(),
            node.path(),
            node.bin().display(),
            file.display()
        );
        node.look(&command)
    };
    assert!(call("ADD").contains("\"eth0\""));
    call("DEL");
    assert!(pod.links().is_empty());
}

#[test]
fn a_process_at_its_file_limit_does_not_blame_the_namespace() {
    for plugin in ["loopback", "bridge", "bandwidth"] {
        let mut failures = 0;
        for limit in 3..12 {
            let node = Node::new();
            let script = format!("ulimit -n {limit}; exec {}/{plugin}", node.bin().display());
            let (node, pod) = (node.with_script("limited", &script), Pod::new("c1"));
            let config = match plugin {
                "bandwidth" => {
                    let result = node.call("bridge", &pod).add(&bridge(json!({})));
                    let config = json!({"cniVersion": "1.0.0", "name": "pods", "ingressRate": 1_000_000});
                    with_prev_result(&changed(&config, json!({"ingressBurst": 100_000})), &result)
                }
                _ => bridge(json!({"ipam": null})),
            };
            let Err(failure) = node.call("limited", &pod).verb("ADD", &config) else { continue };
            failures += 1;
            assert!(!failure.message.contains("CNI_NETNS"), "{plugin}, {limit}: {failure:?}");
            assert_ne!(failure.code, 4, "{plugin}, {limit}: {failure:?}");
        }
        assert!(failures > 0, "{plugin} opens files");
    }
}

#[test]
fn names_that_the_kernel_has_taken_are_refused_for_a_new_interface() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let config = bridge(json!({"ipam": null}));
    for name in ["all", "default", "lo"] {
        let call = || node.call("bridge", &pod).with("CNI_IFNAME", name);
        let failure = failure(&call(), "ADD", &config);
        assert_eq!(failure.code, 4, "{failure:?}");
        assert!(failure.message.contains(name) && failure.message.contains("reserved"), "{failure:?}");
        call().del(&config);
    }
    assert!(node.links().is_empty());
    let config = json!({"cniVersion": "1.0.0", "name": "lo", "type": "loopback"});
    node.call("loopback", &pod).with("CNI_IFNAME", "lo").add(&config);
}

#[test]
fn a_network_name_may_be_as_long_as_a_files() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let named = |length: usize| bridge(json!({"name": "n".repeat(length)}));
    let call = node.call("bridge", &pod);
    call.add(&named(255));
    call.del(&named(255));
    let failure = failure(&call, "ADD", &named(256));
    assert_eq!(failure.code, 7, "{failure:?}");
    assert!(failure.message.contains("256 bytes") && failure.message.contains("255"), "{failure:?}");
    call.del(&named(256));
}

#[test]
fn cni_args_that_a_plugin_does_not_look_at_cannot_fail_it() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let result = node.call("bridge", &pod).add(&bridge(json!({})));
    for (plugin, keys) in
        [("loopback", json!({})), ("bandwidth", json!({"ingressRate": 8_000_000, "ingressBurst": 800_000}))]
    {
        let mut config = json!({"cniVersion": "1.0.0", "name": "pods", "type": plugin});
        config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        let call = node.call(plugin, &pod).with("CNI_ARGS", "none");
        let result = call.add(&with_prev_result(&config, &result));
        call.check(&config, &result);
    }
    let failure =
        failure(&node.call("bridge", &Pod::new("c2")).with("CNI_ARGS", "none"), "ADD", &bridge(json!({})));
    assert_eq!(failure.code, 4);
    assert!(failure.message.contains("\"none\""), "{failure:?}");
}

/// An address manager that is executed: `script` is what it does.
fn with_ipam(script: &str) -> Failure {
    let pod = Pod::new("c1");
    let node = Node::new().with_script("other-ipam", &format!("[ $CNI_COMMAND = ADD ] || exit 0\n{script}"));
    failure(&node.call("bridge", &pod), "ADD", &bridge(json!({"ipam": {"type": "other-ipam"}})))
}

#[test]
fn the_output_of_an_executed_plugin_beside_its_error_is_reported() {
    let only_stderr = with_ipam("printf 'no lease from 10.0.0.1\\033[2J\\n' >&2; exit 3");
    assert!(only_stderr.message.contains("other-ipam") && only_stderr.message.contains("exit status: 3"));
    assert!(only_stderr.message.contains(r"no lease from 10.0.0.1\u{1b}[2J"), "{only_stderr:?}");
    assert!(only_stderr.stderr.contains("no lease from 10.0.0.1\u{1b}[2J\n"), "as it is: {only_stderr:?}");

    let json = r#"{"code": 107, "msg": "no address", "details": "pool 7"}"#;
    let before = with_ipam(&format!("echo asking; echo 'pool 7 is empty' >&2; echo '{json}'; exit 1"));
    assert_eq!((before.code, before.msg.as_str()), (107, "no address"), "{before:?}");
    for part in ["pool 7", "asking", "pool 7 is empty"] {
        assert!(before.message.contains(part), "{before:?}");
    }

    let no_json = with_ipam("echo 'lease 10.0.0.7'; echo 'old version' >&2");
    for part in ["other-ipam", "lease 10.0.0.7", "old version"] {
        assert!(no_json.message.contains(part), "{no_json:?}");
    }
    let long = with_ipam("yes 'no lease' | head -n 20000 >&2; yes | head -n 20000; exit 1");
    assert!(long.message.len() < 4096 && long.stderr.len() > 100_000, "{}", long.message.len());
}

#[test]
fn an_executed_plugin_that_is_being_written_is_waited_for() {
    let pod = Pod::new("c1");
    let answer = r#"{"cniVersion": "1.0.0", "ips": [{"address": "10.7.7.7/24"}]}"#;
    let node = Node::new().with_script("other-ipam", &format!("echo '{answer}'"));
    let writer = std::fs::File::options().append(true).open("/mnt/plugins/other-ipam").unwrap();
    let call = node.call("bridge", &pod);
    let running = call.start("ADD", &bridge(json!({"ipam": {"type": "other-ipam"}})));
    // It sleeps between its attempts: restart_syscall, nanosleep or clock_nanosleep, whose numbers differ by machine.
    let calls = ["35", "101", "115", "219", "230"];
    let syscall = || std::fs::read_to_string(format!("/proc/{}/syscall", running.id())).unwrap_or_default();
    eventually("it waits", || calls.contains(&syscall().split(' ').next().unwrap_or_default()));
    drop(writer);
    let result = running.answer().unwrap();
    assert_eq!(result["ips"][0]["address"], "10.7.7.7/24");
}

mod unanswered {
    use super::*;

    /// ADD with its standard output at `/dev/full`, or a pipe without a reader.
    fn add(call: &Call, config: &Value, is_pipe: bool) -> String {
        let output = if is_pipe {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            call.raw_to(writer.into(), "ADD", &config.to_string())
        } else {
            let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
            call.raw_to(full.into(), "ADD", &config.to_string())
        };
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    #[test]
    fn an_add_that_cannot_be_answered_is_taken_back() {
        for is_pipe in [false, true] {
            let (node, pod) = (Node::new(), Pod::new("c1"));
            let config = bridge(json!({"isGateway": true, "ipMasq": true, "macspoofchk": true}));
            let call = node.call("bridge", &pod);
            call.add(&config);
            call.del(&config);
            let before = node.fingerprint();
            let said = add(&call, &config, is_pipe);
            assert!(said.contains("cannot write the answer") && said.contains("took back"), "{said}");
            assert_eq!(node.fingerprint(), before);
            assert!(pod.links().is_empty());
        }
    }

    #[test]
    fn an_add_whose_standard_output_was_closed_is_taken_back() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let config = bridge(json!({"isGateway": true}));
        let call = node.call("bridge", &pod);
        call.add(&config);
        call.del(&config);
        let before = node.fingerprint();
        let closed = ["sh", "-c", "exec \"$@\" >&-", "sh"].map(str::to_owned);
        let output = node.call("bridge", &pod).executed_by(&closed).raw("ADD", &config.to_string());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains("took back"), "{output:?}");
        assert_eq!(node.fingerprint(), before);
    }

    #[test]
    fn limits_that_cannot_be_answered_go_and_the_interface_stays() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let config = bridge(json!({"isGateway": true, "ipMasq": true}));
        let result = node.call("bridge", &pod).add(&config);
        let before = node.fingerprint();
        let limits = json!({
            "cniVersion": "1.0.0", "name": "pods", "type": "bandwidth",
            "ingressRate": 8_000_000, "ingressBurst": 800_000, "egressRate": 8_000_000, "egressBurst": 800_000,
        });
        let call = node.call("bandwidth", &pod);
        let said = add(&call, &with_prev_result(&limits, &result), false);
        assert!(said.contains("took back"), "{said}");
        assert_eq!(node.look(&format!("tc filter show dev {} ingress", node.ports("cni0")[0])), "");
        let without_hook = |shown: String| {
            shown.lines().filter(|line| !line.starts_with("qdisc clsact")).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(without_hook(node.fingerprint()), without_hook(before));
        node.call("bridge", &pod).check(&config, &result);
        call.add(&with_prev_result(&limits, &result));
    }

    #[test]
    fn an_address_that_cannot_be_answered_is_released_and_no_older_one() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let config = |subnet: &str| json!({"cniVersion": "1.0.0", "name": "pods", "type": "any", "ipam": host_local(&[subnet])});
        let call = node.call("host-local", &pod);
        call.add(&config("10.244.0.0/24"));
        add(&call, &config("10.245.0.0/24"), false);
        assert_eq!(node.look("ls /var/lib/cni/networks/pods | grep ^10").trim(), "10.244.0.2");
    }

    /// The part that a delegate gets.
    #[test]
    fn a_delegate_is_called_with_the_result() {
        let pod = Pod::new("c1");
        let answer = r#"{"cniVersion": "1.0.0", "ips": [{"address": "10.7.7.7/24"}]}"#;
        let script = format!("cat > /mnt/$CNI_COMMAND; [ $CNI_COMMAND != ADD ] || echo '{answer}'");
        let node = Node::new().with_script("other-ipam", &script);
        let call = node.call("bridge", &pod);
        add(&call, &bridge(json!({"ipam": {"type": "other-ipam"}})), false);
        let told: Value = serde_json::from_str(&node.look("cat /mnt/DEL")).unwrap();
        assert_eq!(told["prevResult"]["ips"][0]["address"], "10.7.7.7/24");
        assert!(pod.links().is_empty());
    }
}

/// It is asked every half second (CRI-O).
#[test]
fn status_makes_no_namespace_where_a_limited_pod_proves_that_limits_work() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let limits = json!({
        "cniVersion": "1.1.0", "name": "pods", "type": "bandwidth", "egressRate": 8_000_000, "egressBurst": 800_000,
    });
    let result = node.call("bridge", &pod).add(&bridge(json!({"cniVersion": "1.1.0"})));
    node.call("bandwidth", &pod).add(&with_prev_result(&limits, &result));
    let before = node.fingerprint();
    // Without this capability a process cannot create a namespace.
    let status = format!(
        "echo '{limits}' | CNI_COMMAND=STATUS CNI_PATH={path} setpriv --bounding-set -sys_admin {path}/bandwidth",
        path = node.path()
    );
    assert_eq!(node.look(&status), "");
    assert_eq!(node.fingerprint(), before);
}
