//! Limits hold whatever else looks at the packets of a pair, and those that do not hold say so.

use serde_json::{Value, json};
use tests::Flow;

use crate::setting::{HOST, POD, Setting, bandwidth_config, ifbs};

/// Accepts every packet, as programs for network policy do: `TC_ACT_OK`.
const ACCEPTING_PROGRAM: &str = "bpf da bytecode '1,6 0 0 0,'";
const ACCEPTING_FILTER: &str = "protocol ip u32 match u32 0 0 flowid 1:1";

fn limited(list: &Value) -> Value {
    let mut keys = json!({
        "ingressRate": 4_000_000, "ingressBurst": 80_000, "egressRate": 4_000_000, "egressBurst": 80_000,
    });
    keys.as_object_mut().unwrap().extend(list.as_object().unwrap().clone());
    keys
}

/// Puts a filter of others before everything at both hooks of the pair.
fn accept_all(setting: &Setting, filter: &str) {
    let host_end = setting.host_end();
    tests::shell(&format!(
        "tc qdisc replace dev {host_end} clsact; \
         for hook in ingress egress; do tc filter replace dev {host_end} $hook pref 1 {filter}; done"
    ));
}

/// Mbit/s to the pod and from it.
fn megabits(setting: &Setting) -> [f64; 2] {
    let netns = setting.pod.netns();
    let flow = |sender, address, receiver| Flow { sender, address, receiver, seconds: 1, options: "" };
    [flow(None, HOST, Some(&*netns)), flow(Some(&*netns), POD, None)].map(|flow| flow.run().mean / 1e6)
}

fn assert_holds(setting: &Setting, megabits_per_second: f64, what: &str) {
    for (direction, got) in ["to", "from"].into_iter().zip(megabits(setting)) {
        assert!(got < megabits_per_second * 1.5, "{what}: {got} Mbit/s {direction} the pod");
    }
}

#[test]
fn a_program_or_a_filter_that_accepts_everything_does_not_lift_a_limit() {
    for list in [json!({}), json!({"shapedSubnets": ["0.0.0.0/0"]})] {
        for filter in [ACCEPTING_PROGRAM, ACCEPTING_FILTER] {
            let setting = Setting::new();
            setting.shape(limited(&list));
            accept_all(&setting, filter);
            assert_holds(&setting, 4.0, &format!("{list}, {filter}"));
            setting.check(limited(&list)).unwrap();
            let changed =
                setting.node.weir(&format!("limit {} --ingress 2M --egress 2M", setting.host_end()));
            assert!(changed.status.success(), "{changed:?}");
            assert_holds(&setting, 2.0, &format!("{list}, {filter}, after a change"));
            setting.delete();
        }
    }
}

#[test]
fn a_limit_that_is_set_live_behind_an_accepting_program_holds() {
    let setting = Setting::new();
    accept_all(&setting, ACCEPTING_PROGRAM);
    let changed = setting.node.weir(&format!("limit {} --ingress 4M --egress 4M", setting.host_end()));
    assert!(changed.status.success(), "{changed:?}");
    assert_holds(&setting, 4.0, "live");
    setting.delete();
}

/// As an earlier weir and the reference made it: a filter of traffic control leads what the pod sends to the ifb.
fn lead_by_a_filter(setting: &Setting) {
    let (host_end, ifb) = (setting.host_end(), ifbs().pop().unwrap());
    tests::shell(&format!(
        "tc qdisc add dev {host_end} clsact; \
         tc filter add dev {host_end} ingress pref 61440 handle ::1fb protocol all u32 match u32 0 0 flowid 1:1 \
         action mirred egress redirect dev {ifb}; \
         nft delete chain netdev weir {host_end}"
    ));
}

#[test]
fn an_attachment_of_an_earlier_weir_is_checked_moved_and_detached() {
    let keys = limited(&json!({}));
    let setting = Setting::new();
    setting.shape(keys.clone());
    lead_by_a_filter(&setting);
    setting.check(keys.clone()).unwrap();
    accept_all(&setting, ACCEPTING_PROGRAM);
    let failure = setting.check(keys.clone()).unwrap_err();
    for word in ["egress", "bpf filter of preference 1", "ingress hook", "weir limit"] {
        assert!(failure.message.contains(word), "{word}: {failure:?}");
    }
    // The same limit again is led by a chain, which no program comes before.
    let changed = setting.node.weir(&format!("limit {} --egress 4M", setting.host_end()));
    assert!(changed.status.success(), "{changed:?}");
    setting.check(keys.clone()).unwrap();
    assert_holds(&setting, 4.0, "moved");
    setting.delete();

    let setting = Setting::new();
    setting.shape(keys.clone());
    lead_by_a_filter(&setting);
    setting.delete();
}

#[test]
fn a_chain_of_a_former_link_touches_no_later_one_of_its_name() {
    let setting = Setting::new();
    setting.shape(limited(&json!({})));
    let (host_end, ifb) = (setting.host_end(), ifbs().pop().unwrap());
    tests::shell(&format!("ip link del {host_end}; ip link del {ifb}"));
    // Since Linux 6.16 the chain is still there, and looks at what arrives at the new link.
    tests::shell(&format!("ip link add {host_end} type veth peer name eth0 netns {}", setting.pod.netns()));
    tests::shell(&format!("ip link set {host_end} up; ip addr add 10.3.0.1/24 dev {host_end}"));
    setting.pod.shell("ip addr add 10.3.0.7/24 dev eth0; ip link set eth0 up");
    assert!(setting.pod.reaches("10.3.0.1", 8));
    tests::shell(&format!("ip link del {host_end}"));
    let collect = json!({"cni.dev/valid-attachments": []});
    setting.call().verb("GC", &bandwidth_config(collect)).unwrap();
    assert!(!tests::shell("nft list ruleset").contains("fwd"));
}
