//! The remains of killed ADDs, and GC.

use std::os::fd::OwnedFd;

use nix::sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket};
use serde_json::{Value, json};
use tests::{Node, Pod, Process, Running, eventually, with_prev_result};

use crate::pairs::{alias, calico};
use crate::setting::{HOST, Setting, bandwidth_config, ifbs, requested, tbf};

/// The port ID of a netlink socket, and the group of the links that it is making.
const MAKER: u32 = 0x5700_4711;

/// The reference's name for what container c1 of network `pods` sends, and ours for its second interface.
fn names() -> [String; 2] {
    ["podsc1", "podsc1eth1"]
        .map(|of| format!("bwp{}", tests::shell(&format!("printf {of} | sha512sum | cut -c-12")).trim()))
}

/// A device as an ADD leaves it that is killed before it gives it an alias.
fn unfinished(name: &str) {
    tests::shell(&format!("ip link add {name} group {MAKER} type ifb"));
}

/// A socket as of an ADD that is at work.
fn maker() -> OwnedFd {
    let protocol = SockProtocol::NetlinkRoute;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).unwrap();
    bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &NetlinkAddr::new(MAKER, 0)).unwrap();
    socket
}

fn gc(setting: &Setting, keys: Value) -> String {
    let mut config = bandwidth_config(keys);
    if config.get("cni.dev/valid-attachments").is_none() {
        config["cni.dev/valid-attachments"] = json!([]);
    }
    let output = setting.call().raw("GC", &config.to_string());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn gc_removes_an_unfinished_device_after_its_maker_ended() {
    let setting = Setting::new();
    let name = "bwp0123456789ab";
    unfinished(name);
    let maker = maker();
    assert_eq!(gc(&setting, json!({})), "");
    assert_eq!(ifbs(), [name]);
    drop(maker);
    gc(&setting, json!({"cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}]}));
    assert!(ifbs().is_empty());
}

/// GC under `strace`, which does this to its second call of `call`: that asks whether the maker of a device is at work.
fn disturbed_gc(setting: &Setting, disturbance: &str) -> Running {
    let words = format!("strace -D -o /mnt/seen -e inject={disturbance}:when=2");
    let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
    let config = bandwidth_config(json!({"cni.dev/valid-attachments": []}));
    setting.call().executed_by(&words).start("GC", &config)
}

#[test]
fn a_device_that_an_add_finishes_while_gc_looks_at_it_stays() {
    let setting = Setting::new();
    let [name, _] = names();
    unfinished(&name);
    let maker = maker();
    let mut gc = disturbed_gc(&setting, "socket:signal=SIGSTOP");
    eventually("GC stands still", || {
        std::fs::read_to_string("/mnt/seen").is_ok_and(|seen| seen.contains("--- stopped by SIGSTOP"))
    });
    let alias = "weir container=c1 interface=eth0 network=pods";
    tests::shell(&format!("ip link set {name} group default alias '{alias}'"));
    drop(maker);
    eventually("GC goes on to its end", || gc.has_ended_after("CONT"));
    gc.answer().unwrap();
    assert_eq!(ifbs(), [name]);
}

#[test]
fn gc_collects_the_others_when_it_cannot_tell_of_one_device_whether_it_is_unfinished() {
    let setting = Setting::new();
    let [first, other] = names();
    unfinished(&first);
    tests::shell(&format!(
        "ip link add {other} type ifb; ip link set {other} alias 'weir container=c2 interface=eth0 network=pods'"
    ));
    let failure = disturbed_gc(&setting, "bind:error=ENOBUFS").answer().unwrap_err();
    assert!(failure.message.contains(&first), "{failure:?}");
    assert_eq!(ifbs(), [first]);
}

#[test]
fn an_add_replaces_the_device_of_a_killed_add_and_its_del_leaves_nothing() {
    let setting = Setting::new();
    let [first, _] = names();
    unfinished(&first);
    setting.shape(requested(8_000_000, 800_000));
    assert_eq!(ifbs(), [first]);
    setting.delete();
}

#[test]
fn del_removes_an_unfinished_device_beside_one_with_another_name() {
    let setting = Setting::new();
    let [first, _] = names();
    // As an earlier version made it: the killed ADD's device kept the first name.
    tests::shell(&format!("ip link add {first} type bridge"));
    setting.shape(requested(8_000_000, 800_000));
    tests::shell(&format!("ip link del {first}"));
    unfinished(&first);
    assert_eq!(ifbs().len(), 2);
    setting.call().del(&bandwidth_config(json!({})));
    assert!(ifbs().is_empty(), "after the first DEL");
}

#[test]
fn neither_add_nor_del_takes_the_device_that_another_interface_is_getting() {
    let setting = Setting::new();
    let [first, _] = names();
    unfinished(&first);
    let maker = maker();
    setting.shape(requested(8_000_000, 800_000));
    assert_eq!(ifbs().len(), 2);
    for _ in 0..2 {
        setting.call().del(&bandwidth_config(json!({})));
    }
    assert_eq!(ifbs(), [first]);
    drop(maker);
}

#[test]
fn gc_gives_a_pod_its_way_back_before_it_removes_a_device() {
    let setting = Setting::new();
    setting.shape(requested(8_000_000, 800_000));
    assert!(setting.pod.reaches(HOST, 56));
    gc(&setting, json!({}));
    assert_eq!(ifbs(), Vec::<String>::new());
    assert!(setting.pod.reaches(HOST, 56), "the pod reaches the host without the ifb");
}

#[test]
fn gc_leaves_a_pair_of_another_plugin_as_it_was() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let attached = calico(&pod, "cali1234", "eth0");
    let before = node.fingerprint();
    let config = bandwidth_config(requested(8_000_000, 800_000));
    node.call("bandwidth", &pod).add(&with_prev_result(&config, &attached));
    let gc = bandwidth_config(json!({"cni.dev/valid-attachments": []}));
    node.call("bandwidth", &pod).verb("GC", &gc).unwrap();
    assert_eq!((ifbs(), tbf("cali1234"), alias("cali1234")), (vec![], None, String::new()));
    tests::shell("tc qdisc del dev cali1234 clsact 2>/dev/null || true");
    assert_eq!(node.fingerprint(), before);
}

#[test]
fn gc_removes_an_ingress_limit_from_a_pair_of_another_plugin() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let attached = calico(&pod, "cali1234", "eth0");
    let before = node.fingerprint();
    let keys = json!({"ingressRate": 8_000_000, "ingressBurst": 800_000});
    node.call("bandwidth", &pod).add(&with_prev_result(&bandwidth_config(keys), &attached));
    let shaped = node.fingerprint();
    let gc = |valid: Value| {
        let gc = bandwidth_config(json!({"cni.dev/valid-attachments": valid}));
        node.call("bandwidth", &pod).verb("GC", &gc).unwrap();
        node.fingerprint()
    };
    assert_eq!(gc(json!([{"containerID": "c1", "ifname": "eth0"}])), shaped);
    let mut process = Process::start(Some(&pod.netns()), "yes");
    process.wait_for("y");
    assert_eq!(gc(json!([])), shaped);
    drop(process);
    assert_eq!(gc(json!([])), before);
}

#[test]
fn del_removes_the_hook_of_an_earlier_weir_after_a_live_change_to_a_chain() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let attached = calico(&pod, "cali1234", "eth0");
    let before = node.fingerprint();
    let config = bandwidth_config(json!({"egressRate": 8_000_000, "egressBurst": 800_000}));
    node.call("bandwidth", &pod).add(&with_prev_result(&config, &attached));
    tests::shell(&format!(
        "nft delete table netdev weir; tc qdisc add dev cali1234 clsact; \
         tc filter add dev cali1234 ingress pref 61440 handle ::1fb protocol all u32 match u32 0 0 flowid 1:1 \
         action mirred egress redirect dev {}",
        ifbs().pop().unwrap()
    ));
    assert!(node.weir("limit cali1234 --egress 8M --egress-burst 800k").status.success());
    assert_eq!(tests::shell("tc filter show dev cali1234 ingress"), "");
    node.call("bandwidth", &pod).del(&config);
    assert_eq!(node.fingerprint(), before);
}

/// The reference's DEL removes the device and knows no chain.
#[test]
fn a_chain_to_a_deleted_device_is_removed() {
    for verb in ["DEL", "GC"] {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let attached = calico(&pod, "cali1234", "eth0");
        let config = bandwidth_config(requested(8_000_000, 800_000));
        node.call("bandwidth", &pod).add(&with_prev_result(&config, &attached));
        for ifb in ifbs() {
            tests::shell(&format!("ip link del {ifb}"));
        }
        assert!(tests::shell("nft list ruleset").contains("fwd"));
        let config = bandwidth_config(json!({"cni.dev/valid-attachments": []}));
        node.call("bandwidth", &pod).verb(verb, &config).unwrap();
        assert!(!tests::shell("nft list ruleset").contains("fwd"), "after {verb}");
        assert_eq!((alias("cali1234"), tbf("cali1234")), (String::new(), None));
    }
}

#[test]
fn del_removes_the_chain_of_weirs_own_pair_after_its_device_was_deleted() {
    let setting = Setting::new();
    let result = setting.shape(requested(8_000_000, 800_000));
    for ifb in ifbs() {
        tests::shell(&format!("ip link del {ifb}"));
    }
    setting.call().del(&with_prev_result(&bandwidth_config(json!({})), &result));
    assert!(!tests::shell("nft list ruleset").contains("fwd"));
    setting.delete();
}

/// As `nft flush table` leaves it: no rule tells which link it was for.
#[test]
fn a_chain_without_rules_is_removed_after_its_link() {
    let setting = Setting::new();
    setting.shape(requested(8_000_000, 800_000));
    tests::shell("nft flush table netdev weir");
    let listed = json!({"cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}]});
    gc(&setting, listed);
    assert!(tests::shell("nft list table netdev weir").contains(&setting.host_end()));
    setting.delete();
    gc(&setting, json!({}));
    assert!(!tests::shell("nft list table netdev weir").contains("chain"));
}

/// The remains of an ADD with exempt subnets that was killed before the last rule, at a pair of another plugin.
#[test]
fn rules_that_only_exempt_traffic_are_removed() {
    for verb in ["DEL", "GC"] {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        calico(&pod, "cali1234", "eth0");
        let before = node.fingerprint();
        tests::shell(
            "ip link set cali1234 alias 'weir-shaped container=c1 interface=eth0 network=pods'; \
             tc qdisc add dev cali1234 clsact; \
             tc filter add dev cali1234 ingress pref 61437 handle ::1 protocol arp u32 match u32 0 0 flowid 1:1; \
             tc filter add dev cali1234 ingress pref 61438 handle ::1 protocol ip u32 match ip dst 10.0.0.0/8 flowid 1:1",
        );
        let config = bandwidth_config(json!({"cni.dev/valid-attachments": []}));
        node.call("bandwidth", &pod).verb(verb, &config).unwrap();
        assert_eq!(tests::shell("tc filter show dev cali1234 ingress"), "", "after {verb}");
        assert_eq!(node.fingerprint(), before, "after {verb}");
    }
}

#[test]
fn gc_spares_a_pod_with_processes_and_reports_it() {
    let setting = Setting::new();
    setting.shape(requested(8_000_000, 800_000));
    let mut process = Process::start(Some(&setting.pod.netns()), "yes");
    process.wait_for("y");
    let said = gc(&setting, json!({}));
    assert_eq!(ifbs().len(), 1);
    for word in [&setting.host_end(), "container=c1", "pod=shop/web-0", "gcRemovesRunning"] {
        assert!(said.contains(word), "{word} is not in {said}");
    }
    assert_eq!(said.lines().count(), 1);
    setting.check(requested(8_000_000, 800_000)).unwrap();
    assert_eq!(gc(&setting, json!({"gcRemovesRunning": true})), "");
    assert!(ifbs().is_empty() && setting.pod.reaches(HOST, 56));
    drop(process);
}

#[test]
fn a_repeated_add_that_fails_leaves_the_filter_that_was_there() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let attached = calico(&pod, "cali1234", "eth0");
    let add = |keys: Value| {
        node.call("bandwidth", &pod).verb("ADD", &with_prev_result(&bandwidth_config(keys), &attached))
    };
    add(json!({"ingressRate": 8_000_000, "ingressBurst": 800_000})).unwrap();
    let before = node.fingerprint();
    for name in ["podsc1", "podsc1eth0"] {
        tests::shell(&format!("ip link add bwp$(printf {name} | sha512sum | cut -c-12) type bridge"));
    }
    let taken = node.fingerprint();
    add(requested(5_000_000, 500_000)).unwrap_err();
    assert_eq!(node.fingerprint(), taken);
    assert_ne!(before, taken);
}
