//! `limitRange`.

use serde_json::{Value, json};

use crate::setting::{CONTAINERD, Setting, annotated, requested};

/// The keys with the namespaces' ranges.
fn ranged(mut keys: Value) -> Value {
    keys["limitRange"] = json!({
        "ingress": {"default": "10M", "min": "1M", "max": "100M"},
        "egress": {"max": "50M"},
        "namespaces": {"elsewhere": {"ingress": {"default": "1M"}}},
    });
    keys
}

fn rates(setting: &Setting) -> (Option<u64>, Option<u64>) {
    let (ingress, egress) = setting.limits();
    (ingress.map(|shown| shown.0), egress.map(|shown| shown.0))
}

#[test]
fn a_pod_without_a_request_gets_the_default_or_the_maximum() {
    let setting = Setting::new();
    setting.shape(ranged(json!({})));
    assert_eq!(rates(&setting), (Some(10_000_000), Some(50_000_000)));
    setting.delete();
}

#[test]
fn a_pod_of_another_namespace_gets_that_ones() {
    let mut setting = Setting::new();
    let keys = ranged(json!({}));
    let mut own = keys.clone();
    own["limitRange"]["namespaces"]["shop"] = json!({"ingress": {"default": "2M"}});
    setting.shape(own);
    assert_eq!(rates(&setting), (Some(2_000_000), None));
    setting.delete();
    setting = Setting::new();
    let mut let_off = annotated(json!({"customlimitrange.kubernetes.io/limited": "disable"}));
    let_off["limitRange"] = keys["limitRange"].clone();
    setting.shape(let_off);
    assert_eq!(rates(&setting), (None, None));
    setting.delete();
}

#[test]
fn a_pod_outside_the_range_is_refused_or_clamped() {
    let setting = Setting::new();
    let asked = ranged(annotated(json!({"kubernetes.io/ingress-bandwidth": "500k"})));
    let message = setting.refused(asked.clone());
    for part in
        ["kubernetes.io/ingress-bandwidth: 500k", "500000", "limitRange.ingress", "1000000 to 100000000"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    let message = setting.refused(ranged(requested(60_000_000, CONTAINERD)));
    assert!(message.contains("runtimeConfig.bandwidth.egressRate"), "{message}");
    let mut clamped = asked;
    clamped["limitRange"]["outOfRange"] = json!("clamp");
    setting.shape(clamped);
    assert_eq!(rates(&setting), (Some(1_000_000), Some(50_000_000)));
    setting.delete();
}

#[test]
fn a_range_that_makes_no_sense_is_named() {
    let setting = Setting::new();
    let mut keys = ranged(json!({}));
    keys["limitRange"]["namespaces"]["elsewhere"]["ingress"]["max"] = json!("1k");
    let message = setting.refused(keys);
    assert!(message.contains("limitRange.namespaces.elsewhere.ingress.default"), "{message}");
    setting.delete();
}

#[test]
fn a_misspelt_key_is_named_and_any_case_is_right() {
    let setting = Setting::new();
    for (range, words) in [
        (
            json!({"ingress": {"maximum": "1M"}}),
            "limitRange.ingress.maximum: no such key; allowed are default, min, max",
        ),
        (json!({"Egres": {"max": "1M"}}), "limitRange.Egres: no such key; allowed are ingress, egress"),
        (json!({"namespaces": {"shop": {"ingres": {}}}}), "limitRange.namespaces.shop.ingres: no such key"),
    ] {
        let message = setting.refused(json!({"limitRange": range}));
        assert!(message.contains(words), "{message}");
    }
    setting.shape(json!({"LIMITRANGE": {"INGRESS": {"Max": "1M"}, "OutOfRange": "clamp"}}));
    assert_eq!(rates(&setting), (Some(1_000_000), None));
    setting.delete();
}
