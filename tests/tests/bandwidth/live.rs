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

/// The result that a runtime keeps by libcni.
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

/// The limited traffic: the rules in the chain for what the pod sends, preference and match of those for what it receives.
fn rules(setting: &Setting) -> [String; 2] {
    let chain = tests::shell(&format!("nft list chain netdev weir {}", setting.host_end()));
    let chain = chain.lines().filter(|line| line.contains("accept comment") || line.contains(" fwd to "));
    let shown = tests::shell(&format!("tc filter show dev {} parent 1:", setting.host_end()));
    let says = |line: &&str| line.contains("match ") || line.contains("key ht");
    let without_table = |line: &str| line.split(" u32 ").next().unwrap().trim().to_owned() + "\n";
    let without_device = |line: &str| line.split(" fwd to ").next().unwrap().trim().to_owned() + "\n";
    [chain.map(without_device).collect(), shown.lines().filter(says).map(without_table).collect()]
}

fn remove(setting: &Setting, command: &str) {
    tests::shell(&command.replace("VETH", &setting.host_end()));
}

/// Removes all that leads packets to a limit, and the limit of what the pod receives.
const REMOVE_ALL: &str = "nft delete chain netdev weir VETH; tc qdisc del dev VETH root";

#[test]
fn check_finds_a_rule_that_was_deleted_after_a_live_change() {
    for list in lists() {
        for removal in [
            "nft delete rule netdev weir VETH handle \
             $(nft -a list chain netdev weir VETH | sed -n 's/.*icmp.*handle //p')",
            "tc filter del dev VETH parent 1: pref 61437",
        ] {
            let setting = Setting::new();
            setting.shape(keys(&list));
            limit(&setting, BOTH);
            setting.check(keys(&list)).unwrap();
            remove(&setting, removal);
            let failure = setting.check(keys(&list)).unwrap_err();
            let said = ["shapedSubnets", "rules of chain"].iter().any(|it| failure.message.contains(it));
            assert!(said, "{removal}: {failure:?}");
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
fn a_limit_without_its_filter_gets_a_new_one_and_the_rules_stay() {
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
fn check_fails_for_an_open_ifb_that_is_down_or_missing_and_removing_the_limit_again_restores_traffic() {
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
        remove(&setting, REMOVE_ALL);
        limit(&setting, BOTH);
        assert_eq!(rules(&setting), before);
        setting.check(keys(&list)).unwrap();
        setting.delete();
    }
}

#[test]
fn a_limit_that_is_added_live_has_the_exemptions_of_the_runtimes_cached_config() {
    let [unshaped, _] = lists();
    let setting = Setting::new();
    remember(&setting, &unshaped);
    limit(&setting, BOTH);
    let [from, to] = rules(&setting);
    assert!(from.contains("192.0.2.0/24") && to.contains("c0000200/ffffff00"), "{from}{to}");
    setting.check(unshaped).unwrap();
    setting.delete();
}

#[test]
fn lost_exemptions_are_reported() {
    for list in lists() {
        let setting = Setting::new();
        setting.shape(keys(&list));
        remove(&setting, REMOVE_ALL);
        let said = limit(&setting, BOTH);
        let line = said.lines().find(|line| line.contains("egress of veth"));
        let words = "shapedSubnets or unshapedSubnets exempted";
        assert!(line.is_some_and(|line| line.contains(words)), "{said}");
        // Everything is limited, which is what was asked for with these words.
        setting.check(keys(&list)).unwrap();
        setting.delete();
    }
}

#[test]
fn a_chain_that_lost_a_rule_is_made_whole_by_a_change() {
    for list in lists() {
        let setting = Setting::new();
        remember(&setting, &list);
        setting.shape(keys(&list));
        let before = rules(&setting);
        remove(
            &setting,
            "nft delete rule netdev weir VETH handle \
             $(nft -a list chain netdev weir VETH | sed -n 's/.*icmp.*handle //p')",
        );
        limit(&setting, BOTH);
        assert_eq!(rules(&setting), before);
        setting.check(keys(&list)).unwrap();
        setting.delete();
    }
}
