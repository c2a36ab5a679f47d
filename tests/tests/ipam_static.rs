//! `static`: what it answers, beside the reference's in the same run, and how `bridge` and `ptp` delegate to it.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tests::config::{bridge, changed};
use tests::{Look, Node, Pod, REFERENCE, with_prev_result};

const VERSIONS: [&str; 6] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"];

/// A config of `static` itself, with other values for the keys of `changes`.
fn config(ipam: Value, changes: Value) -> Value {
    let mut ipam = ipam;
    ipam["type"] = json!("static");
    changed(&json!({"cniVersion": "1.0.0", "name": "pods", "type": "static", "ipam": ipam}), changes)
}

fn addresses(addresses: Value) -> Value {
    json!({ "addresses": addresses })
}

/// One address of each family, with everything else that the config can have.
fn full() -> Value {
    json!({
        "addresses": [
            {"address": "10.10.0.1/24", "gateway": "10.10.0.254"},
            {"address": "3ffe:ffff:0:01ff::1/64", "gateway": "3ffe:ffff:0::1"},
        ],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "192.168.0.0/16", "gw": "10.10.5.1"}, {"dst": "3ffe:ffff:0:01ff::1/64"}],
        "dns": {"nameservers": ["8.8.8.8"], "domain": "example.com", "search": ["example.com"]},
    })
}

/// Configs and `CNI_ARGS`, with what is to become of them.
fn cases() -> Vec<(Value, &'static str)> {
    let one = || addresses(json!([{"address": "10.1.0.5/24", "gateway": "10.1.0.1"}]));
    let args = |ips: Value| json!({"args": {"cni": {"ips": ips}}});
    let runtime = |ips: Value| json!({"runtimeConfig": {"ips": ips}});
    let plain = |ipam: Value| config(ipam, json!({}));
    vec![
        (plain(full()), ""),
        (plain(json!({})), ""),
        (plain(addresses(json!(null))), ""),
        // Of another family, outside the subnet, absent.
        (plain(addresses(json!([{"address": "10.1.0.5/24", "gateway": "fd00::1"}]))), ""),
        (plain(addresses(json!([{"address": "10.1.0.5/24", "gateway": "10.9.0.1"}]))), ""),
        (plain(addresses(json!([{"address": "10.1.0.5/24", "gateway": ""}]))), ""),
        (plain(addresses(json!([{"address": "::ffff:10.1.0.5/120", "gateway": "::ffff:10.1.0.1"}]))), ""),
        (plain(addresses(json!([{"address": "10.1.0.5/32"}, {"address": "10.1.0.6/24"}]))), ""),
        // CNI_ARGS come beside the config's.
        (plain(json!({})), "IgnoreUnknown=1;K8S_POD_NAME=web-0;IP=10.0.0.5/24;GATEWAY=10.0.0.1"),
        (plain(one()), "IP=10.0.0.5/24, fd00::5/64;GATEWAY=fd00::1,10.0.0.1"),
        (plain(one()), "GATEWAY=10.1.0.9"),
        (plain(json!({})), "IP=10.0.0.5/24,10.0.0.6/24;GATEWAY=10.0.0.1, 10.0.0.2"),
        (plain(json!({})), "IP=10.0.0.5/24;GATEWAY=10.9.0.1"),
        // args take the place of both, and runtimeConfig that of args.
        (config(one(), args(json!(["10.3.0.1/16"]))), "IP=10.0.0.5/24;GATEWAY=10.0.0.1"),
        (config(one(), args(json!([]))), "IP=10.0.0.5/24"),
        (config(one(), runtime(json!(["10.4.0.1/16", "fd00::4/64"]))), "IP=10.0.0.5/24"),
        (config(one(), changed(&args(json!(["10.3.0.1/16"])), runtime(json!(["10.4.0.1/16"])))), ""),
        (config(one(), changed(&args(json!(["10.3.0.1/16"])), runtime(json!([])))), ""),
        (config(addresses(json!([{"address": ""}])), runtime(json!(["10.4.0.1/16"]))), ""),
        // What cannot be an address.
        (plain(addresses(json!([{"address": "10.1.0.5"}]))), ""),
        (plain(addresses(json!([{"address": "10.1.0.5/33"}]))), ""),
        (plain(addresses(json!([{"gateway": "10.1.0.1"}]))), ""),
        (plain(addresses(json!([{"address": "10.1.0.5/24", "gateway": "x"}]))), ""),
        (plain(json!({})), "IP=10.0.0.5"),
        (plain(json!({})), "IP=10.0.0.5/24,"),
        (plain(json!({})), "IP=10.0.0.5/24;GATEWAY=10.0.0"),
        (config(json!({}), args(json!(["10.3.0.1"]))), ""),
        (config(json!({}), runtime(json!([""]))), ""),
        (config(json!({}), json!({"ipam": null})), ""),
        (plain(json!({"routes": [{"dst": "everywhere"}]})), ""),
    ]
}

#[test]
fn every_version_gets_the_references_answer() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let (mut answers, mut refusals) = (0, 0);
    for (config, arguments) in cases() {
        for version in VERSIONS {
            let config = changed(&config, json!({ "cniVersion": version }));
            let call = |folder| node.call_in(folder, "static", &pod).with("CNI_ARGS", arguments);
            let [ours, reference] =
                [node.bin(), Path::new(REFERENCE)].map(|folder| call(folder).raw("ADD", &config.to_string()));
            if version < "0.3.0" && String::from_utf8_lossy(&reference.stdout).contains("cannot convert") {
                // The reference cannot say in these versions that there are no addresses.
                continue;
            }
            assert_eq!(ours.status.code(), reference.status.code(), "{config} {arguments}");
            if reference.status.success() {
                answers += 1;
                let parsed =
                    [ours, reference].map(|output| serde_json::from_slice::<Value>(&output.stdout).unwrap());
                assert_eq!(parsed[0], parsed[1], "{config} {arguments}");
            } else {
                refusals += 1;
            }
        }
    }
    assert!(answers > 80 && refusals > 60, "{answers} {refusals}");
}

#[test]
fn a_wrong_value_is_refused_with_its_key_and_with_what_is_allowed() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let plain = |ipam: Value| config(ipam, json!({}));
    let no_prefix = "the prefix length is missing: want ADDRESS/PREFIX, such as 10.1.0.5/24";
    for (config, arguments, expected) in [
        (
            plain(addresses(json!([{"address": "10.1.0.5"}]))),
            "",
            format!("ipam.addresses[0].address: invalid address \"10.1.0.5\": {no_prefix}"),
        ),
        (
            plain(addresses(json!([{"address": "10.1.0.5/24"}, {"address": "10.1.0.6/24", "gateway": "x"}]))),
            "",
            "ipam.addresses[1].gateway: \"x\" is not an IP address".to_owned(),
        ),
        (plain(json!({})), "IP=10.1.0.5", format!("CNI_ARGS: IP: invalid address \"10.1.0.5\": {no_prefix}")),
        (
            plain(json!({})),
            "IP=10.1.0.5/24;GATEWAY=y",
            "CNI_ARGS: GATEWAY: \"y\" is not an IP address".to_owned(),
        ),
        (
            config(json!({}), json!({"args": {"cni": {"ips": ["10.1.0.6/24", "10.1.0.5"]}}})),
            "",
            format!("args.cni.ips[1]: invalid address \"10.1.0.5\": {no_prefix}"),
        ),
        (
            config(json!({}), json!({"runtimeConfig": {"ips": ["10.1.0.5"]}})),
            "",
            format!("runtimeConfig.ips[0]: invalid address \"10.1.0.5\": {no_prefix}"),
        ),
        (config(json!({}), json!({"ipam": null})), "", "IPAM config missing 'ipam' key".to_owned()),
    ] {
        let call = node.call("static", &pod).with("CNI_ARGS", arguments);
        let failure = call.verb("ADD", &config).unwrap_err();
        assert_eq!((failure.code, failure.msg), (7, expected.clone()), "{config}");
        let of_1_1_0 = changed(&config, json!({"cniVersion": "1.1.0"}));
        let failure = call.verb("STATUS", &of_1_1_0).unwrap_err();
        assert_eq!((failure.code, failure.msg), (50, expected), "{config}");
    }
}

#[test]
fn check_compares_gateways_as_the_reference_does() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let result = node.call("static", &pod).add(&config(full(), json!({})));
    let with_gateway = |address: &str, gateway: &str| {
        config(addresses(json!([{"address": address, "gateway": gateway}])), json!({}))
    };
    for (config, holds) in [
        (config(full(), json!({})), true),
        (with_gateway("10.10.0.1/24", "10.10.0.254"), true),
        (with_gateway("10.10.0.1/24", ""), true),
        (with_gateway("10.10.0.1/24", "10.10.0.253"), false),
        // The config may have got another address since.
        (with_gateway("10.10.0.2/24", "10.10.0.253"), true),
    ] {
        for folder in [node.bin(), Path::new(REFERENCE)] {
            let call = node.call_in(folder, "static", &pod);
            let checked = call.verb("CHECK", &with_prev_result(&config, &result));
            assert_eq!(checked.is_ok(), holds, "{folder:?} {config}");
            if let Err(failure) = checked {
                let expected = "static: Failed to match addr 10.10.0.1 on interface eth0";
                assert!(failure.msg.starts_with(expected), "{failure:?}");
            }
            assert!(call.verb("CHECK", &config).unwrap_err().msg.contains("prevResult"));
        }
    }
}

#[test]
fn del_and_gc_succeed_whatever_the_config_says() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let broken = config(json!({"addresses": 7}), json!({"cniVersion": "1.1.0", "args": 3}));
    let call = node.call("static", &pod);
    call.del(&broken);
    call.del(&broken);
    call.verb("GC", &changed(&broken, json!({"cni.dev/valid-attachments": []}))).unwrap();
}

#[test]
fn status_succeeds_without_addresses_which_the_runtime_brings() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    for ipam in [json!({}), full()] {
        node.call("static", &pod).verb("STATUS", &config(ipam, json!({"cniVersion": "1.1.0"}))).unwrap();
    }
}

mod under_bridge {
    use super::*;

    fn storage(changes: Value) -> Value {
        let ipam = json!({
            "type": "static", "addresses": [{"address": "10.56.0.5/24", "gateway": "10.56.0.1"}],
            "routes": [{"dst": "10.57.0.0/16"}], "dns": {"nameservers": ["10.56.0.53"]},
        });
        bridge(changed(&json!({"cniVersion": "1.1.0", "isGateway": true, "ipam": ipam}), changes))
    }

    /// A node whose `static` is a copy of the executable that notes its calls in `/mnt/calls`.
    fn with_copy(node: Node) -> Node {
        node.look(&format!("mkdir /mnt/copy; cp {}/static /mnt/copy/static", node.bin().display()));
        node.with_script("static", "echo \"$CNI_COMMAND\" >> /mnt/calls; exec /mnt/copy/static")
    }

    /// Attaches, checks, collects and detaches, with what must hold in between.
    fn serves_every_verb(node: &Node) {
        let pod = Pod::new("c1");
        let before = node.fingerprint();
        let call = node.call("bridge", &pod);
        let config = storage(json!({}));
        call.verb("STATUS", &config).unwrap();
        let result = call.add(&config);
        assert_eq!(
            result["ips"],
            json!([{"interface": 2, "address": "10.56.0.5/24", "gateway": "10.56.0.1"}])
        );
        assert_eq!(result["dns"], json!({"nameservers": ["10.56.0.53"]}));
        assert_eq!(pod.addresses("eth0"), ["10.56.0.5/24"]);
        assert!(pod.reaches("10.56.0.1", 56));
        assert!(pod.shell("ip route").contains("10.57.0.0/16 via 10.56.0.1"));
        call.check(&config, &result);
        call.verb("GC", &changed(&config, json!({"cni.dev/valid-attachments": []}))).unwrap();
        // The pod is gone: GC believes its list.
        assert!(pod.links().is_empty());
        call.add(&config);
        call.del(&config);
        assert!(pod.links().is_empty());
        node.look("ip link delete cni0");
        assert_eq!(node.fingerprint(), before);
        assert!(!Path::new("/var/lib/cni").exists());
    }

    #[test]
    fn it_serves_every_verb_in_the_process() {
        serves_every_verb(&Node::new());
    }

    #[test]
    fn it_serves_every_verb_when_it_is_executed() {
        let node = with_copy(Node::new());
        serves_every_verb(&node);
        let calls = fs::read_to_string("/mnt/calls").unwrap();
        let calls: Vec<_> = calls.lines().collect();
        assert_eq!(calls, ["STATUS", "ADD", "CHECK", "GC", "ADD", "DEL"]);
    }

    #[test]
    fn the_references_serves_every_verb_that_it_has() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        node.look(&format!("mkdir /mnt/plugins; cp {REFERENCE}/static /mnt/plugins/static"));
        let node = node.prefer("/mnt/plugins");
        let config = storage(json!({"cniVersion": "1.0.0"}));
        let call = node.call("bridge", &pod);
        let result = call.add(&config);
        assert_eq!(pod.addresses("eth0"), ["10.56.0.5/24"]);
        call.check(&config, &result);
        call.del(&config);
        assert!(pod.links().is_empty());
    }

    #[test]
    fn a_failed_add_and_a_repeated_one_leave_what_was_there() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let before = node.fingerprint();
        let none = storage(json!({"ipam": {"type": "static"}}));
        let failure = node.call("bridge", &pod).verb("ADD", &none).unwrap_err();
        assert!(failure.msg.contains("want at least one address"), "{failure:?}");
        let without_prefix = storage(json!({"runtimeConfig": {"ips": ["10.56.0.5"]}}));
        let failure = node.call("bridge", &pod).verb("ADD", &without_prefix).unwrap_err();
        assert!(failure.msg.starts_with("runtimeConfig.ips[0]: "), "{failure:?}");
        assert_eq!(node.fingerprint(), before);

        let config = storage(json!({}));
        let result = node.call("bridge", &pod).add(&config);
        node.call("bridge", &pod).verb("ADD", &config).unwrap_err();
        node.call("bridge", &pod).check(&config, &result);
        assert!(pod.reaches("10.56.0.1", 56));
    }

    /// The pair has no alias of weir's, and there is no reservation that names the container: `prevResult` does.
    #[test]
    fn del_removes_the_pair_that_the_reference_made() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let config = storage(json!({"cniVersion": "1.0.0"}));
        let reference = node.call_in(Path::new(REFERENCE), "bridge", &pod).with("CNI_PATH", REFERENCE);
        let result = reference.add(&config);
        node.call("bridge", &pod).check(&config, &result);
        node.call("bridge", &pod).del(&with_prev_result(&config, &result));
        assert!(pod.links().is_empty() && node.ports("cni0").is_empty());
    }
}

#[test]
fn ptp_calls_it_in_the_process() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let before = node.fingerprint();
    let config = json!({
        "cniVersion": "1.1.0", "name": "pods", "type": "ptp",
        "ipam": {"type": "static", "addresses": [{"address": "10.56.0.5/24", "gateway": "10.56.0.1"}]},
    });
    let call = node.call("ptp", &pod);
    call.verb("STATUS", &config).unwrap();
    let result = call.add(&config);
    assert_eq!(pod.addresses("eth0"), ["10.56.0.5/24"]);
    assert!(pod.reaches("10.56.0.1", 56));
    call.check(&config, &result);
    call.del(&config);
    assert!(pod.links().is_empty());
    assert_eq!(node.fingerprint(), before);
    assert!(!Path::new("/var/lib/cni").exists());
}
