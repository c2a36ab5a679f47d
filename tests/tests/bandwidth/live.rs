//! Live changes of pods with exempt subnets.

use serde_json::{Value, json};

use crate::setting::{HOST, Setting, ifbs};

const BOTH: &str = "--ingress 5M --egress 2M";

fn lists() -> [Value; 2] {
    [json!({"unshapedSubnets": ["192.0.2.0/24"]}), json!({"shapedSubnets": ["198.51.100.0/24"]})]
}

/// Limits in both directions, and one of the lists.
fn keys(list: &Value) -> Value {
    let mut keys = json!({
        "ingressRate": 4_000_000, "ingressBurst": 80_000, "egressRate": 4_000_000, "egressBurst": 80_000,
    });
    keys.as_object_mut().unwrap().extend(list.as_object().unwrap().clone());
    keys
}

fn limit(setting: &Setting, changes: &str) -> String {
    let output = setting.node.weir(&format!("limit {} {changes}", setting.host_end()));
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// What a runtime keeps by libcni.
fn remember(setting: &Setting, list: &Value) {
    let mut bandwidth = list.clone();
    bandwidth["type"] = json!("bandwidth");
    let config = json!({"name": "pods", "plugins": [{"type": "bridge"}, bandwidth]}).to_string();
    let config = setting.node.file("config", &config);
    let cached = json!({
        "kind": "cniCacheV1", "containerId": "c1", "ifName": "eth0", "networkName": "pods",
        "config": tests::shell(&format!("base64 -w0 {}", config.display())), "result": setting.attached,
    });
    tests::shell("mkdir -p /var/lib/cni/results");
    std::fs::write("/var/lib/cni/results/pods-c1-eth0", cached.to_string()).unwrap();
}

/// Preference and match of each rule at both hooks.
fn rules(setting: &Setting) -> [String; 2] {
    ["ingress", "egress"].map(|hook| {
        let shown = tests::shell(&format!("tc filter show dev {} {hook}", setting.host_end()));
        let says = |line: &&str| line.contains("match ") || line.contains("key ht");
        let without_table = |line: &str| line.split(" u32 ").next().unwrap().trim().to_owned() + "\n";
        shown.lines().filter(says).map(without_table).collect()
    })
}

fn tc(setting: &Setting, command: &str) {
    tests::shell(&format!("tc filter {}", command.replace("VETH", &setting.host_end())));
}

#[test]
fn a_rule_that_somebody_deleted_after_a_live_change_is_missed_by_check() {
    for list in lists() {
        for removal in ["del dev VETH ingress pref 61437", "del dev VETH egress pref 61429"] {
            let setting = Setting::new();
            setting.shape(keys(&list));
            limit(&setting, BOTH);
            setting.check(keys(&list)).unwrap();
            tc(&setting, removal);
            let failure = setting.check(keys(&list)).unwrap_err();
            assert!(failure.message.contains("shapedSubnets"), "{removal}: {failure:?}");
            setting.delete();
        }
    }
}

#[test]
fn a_limit_that_was_added_live_passes_check_where_the_config_has_exempt_subnets() {
    for list in lists() {
        let setting = Setting::new();
        setting.shape(list.clone());
        assert_eq!(ifbs(), [""; 0]);
        limit(&setting, BOTH);
        setting.check(list).unwrap();
        setting.delete();
    }
}

#[test]
fn a_limit_where_only_the_shaper_is_gone_gets_a_new_one_and_the_rules_stay() {
    for list in lists() {
        for removal in ["tc qdisc del dev $ifb root", "ip link del $ifb"] {
            let setting = Setting::new();
            setting.shape(keys(&list));
            let before = rules(&setting);
            for ifb in ifbs() {
                tests::shell(&removal.replace("$ifb", &ifb));
            }
            setting.check(keys(&list)).unwrap_err();
            let said = limit(&setting, BOTH);
            assert!(!said.contains("Subnets"), "{said}");
            assert_eq!(rules(&setting), before, "{list} after {removal}");
            setting.check(keys(&list)).unwrap();
            setting.delete();
        }
    }
}

/// After a limit was removed live, the exempt subnets' rules still send the rest through an open ifb.
#[test]
fn an_open_ifb_that_is_down_or_gone_fails_check_and_removing_the_limit_again_lets_traffic_pass() {
    let [unshaped, _] = lists();
    let setting = Setting::new();
    setting.shape(keys(&unshaped));
    limit(&setting, "--ingress none --egress none");
    setting.check(keys(&unshaped)).unwrap();
    for ifb in ifbs() {
        tests::shell(&format!("ip link set {ifb} down"));
        let failure = setting.check(keys(&unshaped)).unwrap_err();
        assert!(failure.message.contains(&format!("ifb device {ifb} is down")), "{failure:?}");
        tests::shell(&format!("ip link set {ifb} up"));
        setting.check(keys(&unshaped)).unwrap();
    }
    for ifb in ifbs() {
        tests::shell(&format!("ip link del {ifb}"));
    }
    let failure = setting.check(keys(&unshaped)).unwrap_err();
    assert!(failure.message.contains("is gone") && failure.message.contains("weir limit"), "{failure:?}");
    assert!(setting.pod.misses(HOST));
    limit(&setting, "--ingress none --egress none");
    setting.check(keys(&unshaped)).unwrap();
    assert!(setting.pod.reaches(HOST, 8));
    setting.delete();
}

#[test]
fn deleted_rules_are_made_again_from_the_config_that_the_runtime_keeps() {
    for list in lists() {
        let setting = Setting::new();
        remember(&setting, &list);
        setting.shape(keys(&list));
        let before = rules(&setting);
        tests::shell(&format!("tc qdisc del dev {} clsact", setting.host_end()));
        limit(&setting, BOTH);
        assert_eq!(rules(&setting), before);
        setting.check(keys(&list)).unwrap();
        setting.delete();
    }
}

#[test]
fn a_limit_that_is_added_live_exempts_what_the_config_that_the_runtime_keeps_says() {
    let [unshaped, _] = lists();
    let setting = Setting::new();
    remember(&setting, &unshaped);
    limit(&setting, BOTH);
    assert!(rules(&setting).iter().all(|rules| rules.contains("c0000200/ffffff00")), "{:?}", rules(&setting));
    setting.check(unshaped).unwrap();
    setting.delete();
}

#[test]
fn exemptions_that_nobody_knows_any_more_are_said_to_be_lost() {
    for list in lists() {
        for removal in [
            "tc qdisc del dev $veth clsact",
            "tc filter del dev $veth ingress pref 61438; tc filter del dev $veth ingress pref 61440 || true; \
             tc filter del dev $veth egress pref 61430; tc filter del dev $veth egress pref 61432 || true",
        ] {
            let setting = Setting::new();
            setting.shape(keys(&list));
            tests::shell(&format!("set +e; {} 2>/dev/null", removal.replace("$veth", &setting.host_end())));
            let said = limit(&setting, BOTH);
            for direction in ["ingress of veth", "egress of veth"] {
                let line = said.lines().find(|line| line.contains(direction));
                let words = "shapedSubnets or unshapedSubnets exempted";
                assert!(line.is_some_and(|line| line.contains(words)), "{removal}: {said}");
            }
            // Everything is limited, which is what was asked for with these words.
            setting.check(keys(&list)).unwrap();
            setting.delete();
        }
    }
}
