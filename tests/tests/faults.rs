//! Bad input, ADDs that fail half-way, plugins that are killed: one clear sentence, and nothing remains.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::config::{bridge, changed, host_local};
use tests::{Call, Failure, Look, Node, Pod, Random, with_prev_result};

/// A node on which the network was used before, so that its bridge is there, and how that looks.
fn used(config: &Value) -> (Node, String) {
    let (node, pod) = (Node::new(), Pod::new("c0"));
    let call = node.call("bridge", &pod);
    call.add(config);
    call.del(config);
    let before = node.fingerprint();
    (node, before)
}

fn full() -> Value {
    let ipam = host_local(&["10.244.0.0/24", "fd00:244::/64"]);
    bridge(
        json!({"isDefaultGateway": true, "ipMasq": true, "macspoofchk": true, "hairpinMode": true, "ipam": ipam}),
    )
}

/// The failure is one sentence with these words.
fn says(failure: &Failure, code: u64, words: &[&str]) {
    assert_eq!(failure.code, code, "{failure:?}");
    for word in words {
        assert!(failure.message.contains(word), "want {word:?}: {failure:?}");
    }
    assert!(!failure.message.contains('\n') && failure.message.len() < 300, "{failure:?}");
}

mod bad_input {
    use super::*;

    #[test]
    fn is_refused_with_key_and_value_and_changes_nothing() {
        let (node, before) = used(&full());
        let pod = Pod::new("c1");
        node.look("ip link add ifb9 type ifb");
        let (before_ifb, before) = (before, node.fingerprint());
        assert_ne!(before_ifb, before);
        let ranges = |ranges: Value| json!({"ipam": {"type": "host-local", "ranges": ranges}});
        let asking = |ip: &str| json!({"runtimeConfig": {"ips": [ip]}});
        for (changes, code, words) in [
            (json!({"cniVersion": "9.9.9"}), 1, &["9.9.9"][..]),
            (json!({"name": null}), 7, &["missing network name"]),
            (json!({"name": "a b"}), 7, &["name", "\"a b\""]),
            (json!({"isGateway": 1}), 7, &["isGateway", "1"]),
            (json!({"bridge": "ifb9"}), 7, &["bridge", "\"ifb9\"", "not a bridge", "ifb"]),
            (json!({"bridge": "a-name-of-17-bytes"}), 7, &["bridge", "\"a-name-of-17-bytes\""]),
            // The kernel would number the bridges: each ADD would make another one.
            (json!({"bridge": "cni%d"}), 7, &["bridge", "\"cni%d\""]),
            (json!({"bridge": "cni\t0"}), 7, &["bridge", "\"cni\\t0\""]),
            (json!({"mtu": 60}), 7, &["mtu", "60", "68"]),
            (json!({"vlan": 4095}), 7, &["vlan", "4095", "4094"]),
            (
                ranges(json!([[{"subnet": "10.1.0.0/32"}]])),
                7,
                &["ipam.ranges[0][0].subnet", "10.1.0.0/32", "too small"],
            ),
            (
                ranges(json!([[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.1.0.128/25"}]])),
                7,
                &[
                    "ipam.ranges[0]",
                    "10.1.0.1-10.1.0.254",
                    "ipam.ranges[1]",
                    "10.1.0.129-10.1.0.254",
                    "overlap",
                ],
            ),
            (
                ranges(json!([[{"subnet": "10.1.0.0/24"}, {"subnet": "10.1.0.0/25"}]])),
                7,
                &["ipam.ranges[0]", "10.1.0.1-10.1.0.254", "10.1.0.1-10.1.0.126", "overlap"],
            ),
            (
                ranges(json!([[{"subnet": "10.1.0.0/24"}, {"subnet": "fd00::/64"}]])),
                7,
                &["ipam.ranges[0]", "mixed address families"],
            ),
            (
                ranges(json!([[{"subnet": "10.1.0.0/24", "rangeStart": "10.2.0.9"}]])),
                7,
                &["ipam.ranges[0][0].rangeStart", "10.2.0.9", "10.1.0.0/24"],
            ),
            (
                ranges(
                    json!([[{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.8"}]]),
                ),
                7,
                &["ipam.ranges[0][0].rangeEnd", "10.1.0.8", "10.1.0.9"],
            ),
            (ranges(json!([[{"rangeStart": "10.2.0.9"}]])), 7, &["ipam.ranges[0][0].subnet", "missing"]),
            (ranges(json!([])), 7, &["ipam.ranges"]),
            (ranges(json!([[]])), 7, &["ipam.ranges[0]", "empty"]),
            (asking("10.99.0.1"), 999, &["10.99.0.1"]),
            (asking("10.99"), 7, &["runtimeConfig.ips[0]", "\"10.99\""]),
            (json!({"ipam": {"type": "nowhere"}}), 999, &["\"nowhere\"", "path"]),
        ] {
            let failure = node.call("bridge", &pod).verb("ADD", &changed(&full(), changes)).unwrap_err();
            says(&failure, code, words);
            assert_eq!(node.fingerprint(), before, "{failure:?}");
            assert!(pod.links().is_empty(), "{failure:?}");
        }
    }

    #[test]
    fn an_invalid_environment_is_named_and_nothing_changes() {
        let (node, before) = used(&full());
        let pod = Pod::new("c1");
        let call = || node.call("bridge", &pod);
        for (call, words) in [
            (call().with("CNI_NETNS", "/run/netns/gone"), &["CNI_NETNS", "/run/netns/gone"][..]),
            (call().with("CNI_NETNS", "/etc/hostname"), &["CNI_NETNS", "/etc/hostname"]),
            (call().with("CNI_IFNAME", "a-name-of-17-bytes"), &["CNI_IFNAME", "\"a-name-of-17-bytes\""]),
            (call().with("CNI_IFNAME", "eth%d"), &["CNI_IFNAME", "\"eth%d\""]),
            (call().with("CNI_CONTAINERID", "a b"), &["CNI_CONTAINERID", "\"a b\""]),
            (call().with("CNI_CONTAINERID", ""), &["CNI_CONTAINERID"]),
        ] {
            says(&call.verb("ADD", &full()).unwrap_err(), 4, words);
            assert_eq!(node.fingerprint(), before);
        }
    }

    #[test]
    fn a_rate_without_a_burst_is_named_and_shapes_nothing() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let result = node.call("bridge", &pod).add(&full());
        let before = node.fingerprint();
        for (limits, words) in [
            (json!({"ingressRate": 1000}), ["ingressRate", "1000", "ingressBurst"]),
            (json!({"egressBurst": 77}), ["egressBurst", "77", "egressRate"]),
            (
                json!({"runtimeConfig": {"bandwidth": {"EgressRate": 1000}}}),
                ["egressRate", "1000", "egressBurst"],
            ),
        ] {
            let config =
                json!({"cniVersion": "1.0.0", "name": "pods", "type": "bandwidth", "prevResult": result});
            let failure = node.call("bandwidth", &pod).verb("ADD", &changed(&config, limits)).unwrap_err();
            says(&failure, 7, &words);
            assert_eq!(node.fingerprint(), before);
        }
    }
}

mod failing_add {
    use super::*;

    #[test]
    fn an_interface_name_that_is_taken_is_refused_before_anything_is_done() {
        let (node, before) = used(&full());
        let pod = Pod::new("c1");
        pod.look("ip link add eth0 type ifb");
        let failure = node.call("bridge", &pod).verb("ADD", &full()).unwrap_err();
        says(&failure, 4, &["CNI_IFNAME", "c1", "\"eth0\"", &pod.netns()]);
        assert_eq!(node.fingerprint(), before);
        assert_eq!(pod.links(), ["eth0"]);
    }

    #[test]
    fn an_exhausted_pool_leaves_no_pair() {
        let config =
            bridge(json!({"ipMasq": true, "isGateway": true, "ipam": host_local(&["10.244.0.0/30"])}));
        let (node, first, second) = (Node::new(), Pod::new("c1"), Pod::new("c2"));
        let result = node.call("bridge", &first).add(&config);
        let before = node.fingerprint();
        let failure = node.call("bridge", &second).verb("ADD", &config).unwrap_err();
        let text =
            "failed to allocate for range 0: no IP addresses available in range set: 10.244.0.1-10.244.0.2";
        assert_eq!(failure.msg, text);
        assert_eq!(node.fingerprint(), before);
        assert!(second.links().is_empty());
        node.call("bridge", &first).check(&config, &result);
    }

    #[test]
    fn a_gateway_that_is_in_the_way_leaves_no_address() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        node.look("ip link add cni0 up type bridge; ip addr add 10.9.0.1/24 dev cni0");
        let before = node.fingerprint();
        let failure = node.call("bridge", &pod).verb("ADD", &full()).unwrap_err();
        says(&failure, 999, &["\"cni0\"", "10.244.0.1/24", "10.9.0.1/24", "forceAddress"]);
        assert_eq!(node.fingerprint(), before);
    }

    #[test]
    fn a_route_that_the_kernel_refuses_leaves_nothing() {
        let (node, before) = used(&full());
        let pod = Pod::new("c1");
        let mut config = full();
        config["ipam"]["routes"] = json!([{"dst": "192.0.2.0/24", "gw": "10.99.0.1"}]);
        let failure = node.call("bridge", &pod).verb("ADD", &config).unwrap_err();
        says(&failure, 999, &["192.0.2.0/24 via 10.99.0.1"]);
        assert_eq!(node.fingerprint(), before);
        assert!(pod.links().is_empty());
    }

    #[test]
    fn a_gateway_that_the_kernel_refuses_leaves_none_of_the_others() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        node.look("ip link add cni0 address 02:00:00:00:00:01 up type bridge; sysctl -q -w net.ipv6.conf.cni0.disable_ipv6=1");
        node.call("bridge", &pod).verb("ADD", &full()).unwrap_err();
        assert_eq!(node.look("ip addr show dev cni0 scope global | grep inet || true"), "");
        assert!(pod.links().is_empty());
        assert_eq!(node.look("ip -o link show master cni0"), "");
        assert_eq!(node.look("find /var/lib/cni -name '10.244.0.*' -o -name 'fd00*'"), "");
    }

    #[test]
    fn a_gateway_that_the_kernel_refuses_leaves_the_one_that_was_to_be_replaced() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        node.look(
            "ip link add cni0 address 02:00:00:00:00:01 up type bridge; ip addr add 10.9.0.1/24 dev cni0; \
             sysctl -q -w net.ipv6.conf.cni0.disable_ipv6=1",
        );
        let config = changed(&full(), json!({"forceAddress": true}));
        node.call("bridge", &pod).verb("ADD", &config).unwrap_err();
        assert_eq!(node.addresses("cni0"), ["10.9.0.1/24"]);
    }

    #[test]
    fn the_first_add_of_a_node_leaves_nothing_but_the_networks_bridge_and_an_empty_table() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let mut config = full();
        config["ipam"]["routes"] = json!([{"dst": "192.0.2.0/24", "gw": "10.99.0.1"}]);
        node.call("bridge", &pod).verb("ADD", &config).unwrap_err();
        assert_eq!(node.links(), ["cni0"]);
        assert!(node.addresses("cni0").is_empty(), "the bridge is the gateway of attached pods only");
        assert_eq!(node.look("nft list tables"), "table bridge weir\n");
        assert!(!node.look("nft list ruleset").contains("elements"));
        assert_eq!(node.look("find /var/lib/cni -name '10.244.0.*' -o -name 'fd00*'"), "");
        assert!(pod.links().is_empty());
        let result = node.call("bridge", &pod).add(&full());
        node.call("bridge", &pod).check(&full(), &result);
    }

    #[test]
    fn without_a_free_name_for_the_hosts_end_nothing_is_made() {
        let (node, before) = used(&full());
        let pod = Pod::new("c1");
        // All names that the attachment could have are taken.
        let failure = (0..100).find_map(|_| match node.call("bridge", &pod).verb("ADD", &full()) {
            Ok(result) => {
                let name = result["interfaces"][1]["name"].as_str().unwrap().to_owned();
                node.call("bridge", &pod).del(&full());
                node.look(&format!("ip link add {name} type ifb"));
                None
            }
            Err(failure) => Some(failure),
        });
        let taken = node.links().into_iter().filter(|name| name.starts_with("veth")).collect::<Vec<_>>();
        assert!(taken.len() > 1);
        says(&failure.unwrap(), 999, &["c1", "\"eth0\"", taken.last().unwrap()]);
        taken.iter().for_each(|name| drop(node.look(&format!("ip link delete {name}"))));
        assert_eq!(node.fingerprint(), before);
    }

    #[test]
    fn a_full_bridge_is_named() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        node.look("ip link add cni0 up type bridge");
        let ports: String = (0..1023)
            .map(|port| format!("link add p{port} type ifb\nlink set p{port} master cni0\n"))
            .collect();
        let batch = node.file("ports", &ports);
        node.look(&format!("ip -batch {}", batch.display()));
        let failure = node.call("bridge", &pod).verb("ADD", &bridge(json!({}))).unwrap_err();
        says(&failure, 999, &["\"cni0\"", "no free port", "1023"]);
        assert!(pod.links().is_empty());
        assert_eq!(node.look("find /var/lib/cni -name '10.244.0.*'"), "");
    }
}

mod repeated_add {
    use super::*;

    #[test]
    fn into_the_same_namespace_fails_and_harms_nothing() {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let call = node.call("bridge", &pod);
        let result = call.add(&full());
        let before = node.fingerprint();
        for _ in 0..3 {
            let failure = call.verb("ADD", &full()).unwrap_err();
            says(&failure, 4, &["c1", "\"eth0\"", "DEL"]);
        }
        assert_eq!(node.fingerprint(), before);
        call.check(&full(), &result);
        assert!(pod.reaches("10.244.0.1", 56));
    }

    #[test]
    fn into_another_namespace_fails_and_harms_nothing() {
        let (node, pod, other) = (Node::new(), Pod::new("c1"), Pod::new("c1"));
        let call = node.call("bridge", &pod);
        let result = call.add(&full());
        let before = node.fingerprint();
        let failure = node.call("bridge", &other).verb("ADD", &full()).unwrap_err();
        says(&failure, 999, &["c1", "\"eth0\"", result["interfaces"][1]["name"].as_str().unwrap(), "DEL"]);
        assert_eq!(node.fingerprint(), before);
        assert!(other.links().is_empty());
        call.check(&full(), &result);
    }

    #[test]
    fn without_ipam_fails_and_harms_nothing() {
        let (node, pod, other) = (Node::new(), Pod::new("c1"), Pod::new("c1"));
        let config = bridge(json!({"ipam": null}));
        let result = node.call("bridge", &pod).add(&config);
        let before = node.fingerprint();
        let failure = node.call("bridge", &other).verb("ADD", &config).unwrap_err();
        says(&failure, 999, &["c1", "\"eth0\"", result["interfaces"][1]["name"].as_str().unwrap(), "DEL"]);
        assert_eq!(node.fingerprint(), before);
        node.call("bridge", &pod).check(&config, &result);
    }
}

/// The system calls that follow the way back which the kernel refused; `None` when the plugin does not go so often.
fn after_a_lost_way_back(call: Call, config: &Value, trip: usize) -> (std::process::Output, Option<String>) {
    const TRACE: &str = "/mnt/trace";
    // Each trip has a call there and one back, which is tried twice.
    let (back, again) = (2 * trip, 2 * trip + 1);
    let inject = format!("inject=setns:error=EPERM:when={back}..{again}");
    let strace = ["strace", "-o", TRACE, "-e", &inject].map(str::to_owned);
    let output = call.executed_by(&strace).raw("ADD", &config.to_string());
    let seen = std::fs::read_to_string(TRACE).expect("strace writes its trace");
    let after = seen.rsplit_once("(INJECTED)").map(|(_, after)| after.to_owned());
    (output, after)
}

#[test]
fn a_plugin_that_cannot_leave_the_pods_namespace_does_nothing_more() {
    let (node, before) = used(&full());
    let pod = Pod::new("c1");
    let call = || node.call("bridge", &pod);
    for trip in 1.. {
        let (output, after) = after_a_lost_way_back(call(), &full(), trip);
        let Some(after) = after else {
            assert!(output.status.success() && trip > 1, "{output:?}");
            break;
        };
        assert!(!output.status.success());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            stderr.contains("cannot leave network namespace") && stderr.contains(&pod.netns()),
            "{stderr}"
        );
        for asked in ["socket(", "sendto(", "recvfrom(", "open(", "openat(", "unlink(", "mkdir("] {
            assert!(!after.contains(asked), "{after}");
        }
        call().del(&full());
        assert_eq!(node.fingerprint(), before, "trip {trip}");
        assert!(pod.links().is_empty(), "trip {trip}");
    }
}

/// scripts/faults tries all of them.
#[test]
fn a_kill_or_an_error_at_some_system_calls_leaves_nothing_and_harms_no_other_pod() {
    const EVERY: u32 = 40;
    let from = Random::seeded_by("WEIR_SEED").between(1, EVERY).to_string();
    // GC looks at every process: there are only a few.
    let output = std::process::Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child", "--mount-proc", env!("CARGO_BIN_EXE_faults")])
        .args(["--every", &EVERY.to_string(), "--from", &from, "--seconds", "40"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    println!("{text}");
}

mod killed {
    use super::*;

    const ROUNDS: usize = 40;

    /// Moments without any pattern while a call runs that takes `whole`, and as many in its beginning: it may have
    /// taken longer than usual.
    fn moments(whole: Duration) -> impl Iterator<Item = Duration> {
        let mut random = Random::seeded_by("WEIR_SEED");
        (0..ROUNDS).map(move |round| random.moment(if round % 2 == 0 { whole } else { whole / 8 }))
    }

    /// Returns how long `verb` takes undisturbed.
    fn duration(call: &Call, verb: &str, config: &Value) -> Duration {
        let start = Instant::now();
        call.verb(verb, config).expect("the call is undisturbed");
        start.elapsed()
    }

    fn limits(result: &Value) -> Value {
        json!({
            "cniVersion": "1.0.0", "name": "pods", "type": "bandwidth", "prevResult": result,
            "ingressRate": 10_000_000, "ingressBurst": 1_000_000, "egressRate": 10_000_000, "egressBurst": 1_000_000,
        })
    }

    #[test]
    fn in_the_middle_of_add_leaves_nothing_that_del_does_not_remove() {
        let (node, before) = used(&full());
        let pod = Pod::new("c1");
        let call = || node.call("bridge", &pod);
        let whole = duration(&call(), "ADD", &full());
        call().del(&full());
        let mut killed = 0;
        for (round, moment) in moments(whole).enumerate() {
            killed += u32::from(call().kill_after("ADD", &full(), moment));
            // A runtime that lost the namespace calls without it.
            let netns = if round % 2 == 0 { pod.netns() } else { String::new() };
            call().with("CNI_NETNS", netns).del(&full());
            assert_eq!(node.fingerprint(), before, "killed after {moment:?} of {whole:?}");
            assert!(pod.links().is_empty(), "killed after {moment:?} of {whole:?}");
        }
        assert!(killed > 0);
        let result = call().add(&full());
        call().check(&full(), &result);
    }

    #[test]
    fn in_the_middle_of_del_leaves_nothing_that_another_del_does_not_remove() {
        let (node, before) = used(&full());
        let pod = Pod::new("c1");
        let call = || node.call("bridge", &pod);
        call().add(&full());
        let whole = duration(&call(), "DEL", &full());
        let mut killed = 0;
        for moment in moments(whole) {
            call().add(&full());
            killed += u32::from(call().kill_after("DEL", &full(), moment));
            call().del(&full());
            assert_eq!(node.fingerprint(), before, "killed after {moment:?} of {whole:?}");
        }
        assert!(killed > 0);
    }

    #[test]
    fn in_the_middle_of_shaping_leaves_nothing_that_del_does_not_remove() {
        let (node, before) = used(&full());
        let pod = Pod::new("c1");
        let (main, shaping) = (node.call("bridge", &pod), node.call("bandwidth", &pod));
        let result = main.add(&full());
        let whole = duration(&shaping, "ADD", &limits(&result));
        let whole_del = duration(&shaping, "DEL", &limits(&result));
        main.del(&full());
        for (moment, moment_of_del) in moments(whole).zip(moments(whole_del)) {
            let result = main.add(&full());
            shaping.kill_after("ADD", &limits(&result), moment);
            shaping.kill_after("DEL", &limits(&result), moment_of_del);
            shaping.del(&limits(&result));
            main.del(&with_prev_result(&full(), &result));
            assert_eq!(node.fingerprint(), before, "killed after {moment:?} of {whole:?}");
        }
    }

    #[test]
    fn a_killed_add_can_be_followed_by_an_add_of_the_next_pod() {
        // The next pod meets what was left, such as the lock of host-local, and must not wait or fail.
        let (node, _) = used(&full());
        let (killed, next) = (Pod::new("c1"), Pod::new("c2"));
        let whole = duration(&node.call("bridge", &killed), "ADD", &full());
        node.call("bridge", &killed).del(&full());
        for moment in moments(whole) {
            node.call("bridge", &killed).kill_after("ADD", &full(), moment);
            let result = node.call("bridge", &next).add(&full());
            node.call("bridge", &next).check(&full(), &result);
            node.call("bridge", &killed).del(&full());
            node.call("bridge", &next).check(&full(), &result);
            node.call("bridge", &next).del(&full());
        }
    }
}
