//! Where a limit comes from.

use serde_json::json;

use crate::setting::{CONTAINERD, CRIO, Setting, annotated, requested};

/// Rate and the burst that weir chooses for it.
const TEN_MEGABIT: Option<(u64, u64)> = Some((10_000_000, 50_000));

#[test]
fn an_annotation_shapes_without_a_limit_of_the_runtimes() {
    let setting = Setting::new();
    setting.shape(annotated(json!({
        "kubernetes.io/ingress-bandwidth": "10M", "kubernetes.io/egress-bandwidth": "0.01G", "other": "x",
    })));
    assert_eq!(setting.limits(), (TEN_MEGABIT, TEN_MEGABIT));
    setting.delete();
}

#[test]
fn the_runtimes_that_send_their_largest_number_get_a_burst_that_is_none() {
    for burst in [CONTAINERD, CRIO] {
        let setting = Setting::new();
        setting.shape(requested(10_000_000, burst));
        assert_eq!(setting.limits(), (TEN_MEGABIT, TEN_MEGABIT), "{burst}");
        setting.delete();
    }
}

#[test]
fn a_burst_can_be_annotated_configured_and_kept_to_the_letter() {
    let setting = Setting::new();
    let mut keys = requested(10_000_000, CONTAINERD);
    keys["burstMilliseconds"] = json!(50);
    keys["runtimeConfig"]["io.kubernetes.cri.pod-annotations"] = json!({"weir/egress-burst": "800k"});
    setting.shape(keys.clone());
    assert_eq!(setting.limits(), (Some((10_000_000, 62_500)), Some((10_000_000, 100_000))));
    setting.delete();

    let setting = Setting::new();
    keys["runtimeBurst"] = json!("literal");
    setting.shape(keys);
    let (ingress, egress) = setting.limits();
    assert!(ingress.unwrap().1 > 300_000_000, "{ingress:?}");
    assert_eq!(egress, Some((10_000_000, 100_000)));
}

#[test]
fn static_keys_come_first_then_the_runtime_then_kubernetes_annotations_then_kube_ovns() {
    let mut keys = requested(2_000_000, CONTAINERD);
    keys["runtimeConfig"]["io.kubernetes.cri.pod-annotations"] = json!({
        "kubernetes.io/ingress-bandwidth": "3M", "kubernetes.io/egress-bandwidth": "3M",
        "ovn.kubernetes.io/ingress_rate": "4", "ovn.kubernetes.io/egress_rate": "4",
    });
    let mut fixed = keys.clone();
    fixed["ingressRate"] = json!(1_000_000);
    fixed["ingressBurst"] = json!(1_000_000);
    let mut annotated = keys.clone();
    annotated["runtimeConfig"]["bandwidth"] = json!(null);
    let mut kube_ovn = annotated.clone();
    for key in ["kubernetes.io/ingress-bandwidth", "kubernetes.io/egress-bandwidth"] {
        kube_ovn["runtimeConfig"]["io.kubernetes.cri.pod-annotations"][key] = json!(null);
    }
    for (keys, ingress, egress) in [
        (fixed, Some(1_000_000), None),
        (keys, Some(2_000_000), Some(2_000_000)),
        (annotated, Some(3_000_000), Some(3_000_000)),
        (kube_ovn, Some(4_000_000), Some(4_000_000)),
    ] {
        let setting = Setting::new();
        setting.shape(keys.clone());
        let (shown_ingress, shown_egress) = setting.limits();
        let rates = (shown_ingress.map(|shown| shown.0), shown_egress.map(|shown| shown.0));
        assert_eq!(rates, (ingress, egress), "{keys}");
        setting.delete();
    }
}

#[test]
fn an_invalid_value_fails_add_with_annotation_value_and_range() {
    let setting = Setting::new();
    for (key, value, allowed) in [
        ("kubernetes.io/ingress-bandwidth", "10 M", "suffixes"),
        ("kubernetes.io/egress-bandwidth", "999", "between 1k and 1P"),
        ("kubernetes.io/egress-bandwidth", "2P", "between 1k and 1P"),
        ("weir/ingress-burst", "1", "between 1k and 32G"),
        ("ovn.kubernetes.io/egress_rate", "3M", "Mbit/s"),
    ] {
        let message = setting.refused(annotated(json!({key: value})));
        assert!(message.contains(key) && message.contains(value) && message.contains(allowed), "{message}");
    }
    for (key, value) in
        [("burstMilliseconds", json!(0)), ("latencyMilliseconds", json!(5000)), ("runtimeBurst", json!("x"))]
    {
        let mut keys = requested(10_000_000, CONTAINERD);
        keys[key] = value.clone();
        let message = setting.refused(keys);
        assert!(message.contains(key) && message.contains(&value.to_string()), "{message}");
    }
    setting.delete();
}
