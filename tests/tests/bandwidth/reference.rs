//! Pods that the Go plugin shaped, and ours in its hands.

use std::path::Path;

use serde_json::json;
use tests::{REFERENCE, with_prev_result};

use crate::setting::{CONTAINERD, CRIO, Setting, bandwidth_config, ifbs};

/// A version that Debian's plugin knows.
fn config(rate: u64, burst: u64) -> serde_json::Value {
    let mut config = bandwidth_config(json!({"runtimeConfig": {"bandwidth": {
        "ingressRate": rate, "ingressBurst": burst, "egressRate": rate, "egressBurst": burst,
    }}}));
    config["cniVersion"] = json!("1.0.0");
    config
}

fn setting() -> Setting {
    let mut setting = Setting::new();
    setting.attached["cniVersion"] = json!("1.0.0");
    setting
}

/// A call of the Go plugin for the same pod.
fn reference(setting: &Setting) -> tests::Call {
    setting.node.call_in(Path::new(REFERENCE), "bandwidth", &setting.pod)
}

#[test]
fn weir_checks_and_removes_a_pod_that_the_reference_shaped() {
    for (rate, burst) in [(10_000_000, 1_000_000), (10_000_000, CONTAINERD), (1_000_000, CRIO)] {
        let setting = setting();
        let config = with_prev_result(&config(rate, burst), &setting.attached);
        let result = reference(&setting).add(&config);
        setting.call().check(&config, &result);
        setting.call().del(&config);
        assert!(ifbs().is_empty());
    }
}

#[test]
fn the_reference_checks_and_removes_a_pod_that_weir_shaped() {
    let setting = setting();
    let config = with_prev_result(&config(10_000_000, 1_000_000), &setting.attached);
    let result = setting.call().add(&config);
    reference(&setting).check(&config, &result);
    reference(&setting).del(&config);
    assert!(ifbs().is_empty());
}

/// The reference compares burst and queue too, and computes its own for the bursts by which runtimes say that none was
/// chosen: 43 s of 100 Mbit/s.
#[test]
fn the_references_check_wants_its_own_numbers_for_a_burst_that_was_not_chosen() {
    for burst in [CONTAINERD, CRIO] {
        let setting = setting();
        let config = with_prev_result(&config(10_000_000, burst), &setting.attached);
        let result = setting.call().add(&config);
        let check = with_prev_result(&config, &result);
        reference(&setting).verb("CHECK", &check).unwrap_err();
        reference(&setting).del(&check);
        assert!(ifbs().is_empty());
    }
}

#[test]
fn gc_removes_ifbs_of_the_reference() {
    let setting = setting();
    let config = with_prev_result(&config(10_000_000, 1_000_000), &setting.attached);
    reference(&setting).add(&config);
    let gc = bandwidth_config(json!({"cni.dev/valid-attachments": []}));
    setting.call().verb("GC", &gc).unwrap();
    assert_eq!(ifbs().len(), 1, "the pod is still there");
    tests::shell(&format!("ip link del {}", setting.host_end()));
    setting.call().verb("GC", &gc).unwrap();
    assert!(ifbs().is_empty());
}

#[test]
fn gc_removes_ifbs_of_the_reference_after_their_pair() {
    let setting = setting();
    reference(&setting).add(&with_prev_result(&config(10_000_000, CONTAINERD), &setting.attached));
    let gc = || {
        let config = bandwidth_config(json!({"cniVersion": "1.1.0", "cni.dev/valid-attachments": []}));
        setting.call().verb("GC", &config).unwrap();
    };
    gc();
    assert_eq!(ifbs().len(), 1, "a pair still sends packets to it");
    setting.pod.shell("ip link delete eth0");
    gc();
    assert!(ifbs().is_empty());
}
