//! Live changes of pods with exempt subnets.

use serde_json::{Value, json};

use crate::setting::{Setting, ifbs};

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
