//! `shapedSubnets` and `unshapedSubnets`, on real traffic: the host has an exempt address and another one.

use serde_json::{Value, json};
use tests::Flow;

use crate::setting::{POD, Setting, ifbs};

const EXEMPT: &str = "192.0.2.1";
const SHAPED: &str = "198.51.100.1";
const EXEMPT_V6: &str = "2001:db8:1::1";
const SHAPED_V6: &str = "2001:db8:2::1";
const POD_V6: &str = "fd77::7";

fn setting(lists: Value) -> (Setting, Value) {
    let setting = Setting::new();
    let mut keys = json!({
        "ingressRate": 4_000_000, "ingressBurst": 80_000, "egressRate": 4_000_000, "egressBurst": 80_000,
    });
    for (key, value) in lists.as_object().unwrap() {
        keys[key] = value.clone();
    }
    tests::shell(&format!(
        "ip addr add {EXEMPT}/32 dev lo; \
         ip addr add {SHAPED}/32 dev lo; ip addr add {EXEMPT_V6}/128 dev lo nodad; \
         ip addr add {SHAPED_V6}/128 dev lo nodad; ip addr add fd77::1/64 dev cni0 nodad"
    ));
    setting.pod.shell(&format!("ip addr add {POD_V6}/64 dev eth0 nodad; ip route add default via fd77::1"));
    setting.shape(keys.clone());
    (setting, keys)
}

/// Mbit/s over two seconds between one of the host's addresses and one of the pod's.
fn megabits(setting: &Setting, host: &str, pod: &str, to_pod: bool) -> f64 {
    let netns = setting.pod.netns();
    let (to, from) = if to_pod { (Some(netns.as_str()), None) } else { (None, Some(netns.as_str())) };
    let (sender, receiver) = if to_pod { (host, pod) } else { (pod, host) };
    let options = format!("-B {receiver}");
    Flow { sender: from, address: sender, receiver: to, seconds: 2, options: &options }.run().mean / 1e6
}

/// Returns the sum of this key over both limits' queues, as `tc` shows them.
pub fn at_the_queues(setting: &Setting, key: &str) -> u64 {
    let number = |device: &String| {
        let qdiscs = tests::json(&format!("tc -s -j qdisc show dev {device}"));
        let tbf = qdiscs.as_array().unwrap().iter().find(|qdisc| qdisc["kind"] == "tbf");
        tbf.unwrap_or_else(|| panic!("{qdiscs}"))[key].as_u64().unwrap()
    };
    ifbs().iter().chain([&setting.host_end()]).map(number).sum()
}

#[test]
fn check_finds_exemptions_that_the_config_does_not_have_any_more() {
    for list in [json!({"unshapedSubnets": ["192.0.2.0/24"]}), json!({"shapedSubnets": ["198.51.100.0/24"]})]
    {
        for direction in ["ingress", "egress"] {
            let setting = Setting::new();
            let mut keys = json!({});
            keys[format!("{direction}Rate")] = json!(4_000_000);
            keys[format!("{direction}Burst")] = json!(80_000);
            let mut exempting = keys.clone();
            exempting.as_object_mut().unwrap().extend(list.as_object().unwrap().clone());
            setting.shape(exempting);
            let failure = setting.check(keys).unwrap_err();
            assert!(failure.message.contains(direction), "{failure:?}");
        }
    }
}

fn check_traffic(lists: Value) {
    let (setting, keys) = setting(lists);
    assert_eq!(ifbs().len(), 1);
    for (exempt, shaped, pod) in [(EXEMPT, SHAPED, POD), (EXEMPT_V6, SHAPED_V6, POD_V6)] {
        for to_pod in [true, false] {
            let fast = megabits(&setting, exempt, pod, to_pod);
            let slow = megabits(&setting, shaped, pod, to_pod);
            assert!(fast > 100.0, "exempt {exempt}, to the pod {to_pod}: {fast} Mbit/s");
            assert!(slow < 5.0 && slow > 1.0, "shaped {shaped}, to the pod {to_pod}: {slow} Mbit/s");
        }
        tests::eventually("what the flows left in the queues is gone", || {
            at_the_queues(&setting, "backlog") == 0
        });
        // Exempt traffic passes no queue, except for neighbour discovery.
        let passed = |host: &str| {
            let before = at_the_queues(&setting, "packets");
            tests::shell(&format!("ping -n -q -i 0.01 -c 40 -I {host} {pod}"));
            at_the_queues(&setting, "packets") - before
        };
        let (exempt_passed, shaped_passed) = (passed(exempt), passed(shaped));
        assert!(exempt_passed < 10, "of {exempt} came {exempt_passed} packets to a queue");
        assert!(shaped_passed >= 80, "of {shaped} came {shaped_passed} packets to a queue");
    }

    tests::shell(&format!("tc filter del dev {} parent 1: pref 61438", setting.host_end()));
    let failure = setting.check(keys).unwrap_err();
    assert!(failure.message.contains("shapedSubnets"), "{failure:?}");
    setting.delete();
}

#[test]
fn exempt_traffic_is_never_slowed_and_the_rest_is() {
    check_traffic(json!({"unshapedSubnets": ["192.0.2.0/24", "2001:db8:1::/48"]}));
}

#[test]
fn only_listed_subnets_are_limited() {
    check_traffic(json!({"shapedSubnets": ["198.51.100.0/24", "2001:db8:2::/48"]}));
}

#[test]
fn both_lists_at_once_and_invalid_subnets_are_refused() {
    let setting = Setting::new();
    let keys = |shaped: Value, unshaped: Value| {
        json!({
            "ingressRate": 4_000_000, "ingressBurst": 80_000,
            "shapedSubnets": shaped, "unshapedSubnets": unshaped,
        })
    };
    assert!(setting.refused(keys(json!(["10.0.0.0/8"]), json!(["10.1.0.0/16"]))).contains("set only one"));
    assert!(setting.refused(keys(json!(["10.0.0.0/64"]), json!(null))).contains("10.0.0.0/64"));
    setting.shape(keys(json!([]), json!(null)));
    setting.delete();
}
