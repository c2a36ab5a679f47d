//! Limits that cannot be kept as they are asked for: refused, or said.

use serde_json::json;
use tests::with_prev_result;

use crate::setting::{CONTAINERD, CRIO, HOST, POD, Setting, bandwidth_config, requested};

#[test]
fn check_reports_that_full_packets_do_not_pass_after_the_mtu_was_raised() {
    let setting = Setting::new();
    let keys = requested(1_000_000, CONTAINERD);
    let result = setting.shape(keys.clone());
    let check = || setting.call().verb("CHECK", &with_prev_result(&bandwidth_config(keys.clone()), &result));
    let host_end = setting.host_end();
    tests::shell(&format!("ip link set cni0 mtu 9000; ip link set {host_end} mtu 9000"));
    check().unwrap();
    let shown = || {
        let shown = setting.node.weir(&format!("limit {host_end}"));
        (shown.status.code(), String::from_utf8(shown.stdout).unwrap())
    };
    assert_eq!(shown().0, Some(0));
    setting.pod.shell("ip link set eth0 mtu 9000");
    let large = format!("ping -n -c 1 -W 1 -M do -s 8000 {POD} >/dev/null && echo passes || echo lost");
    assert_eq!(tests::shell(&large), "lost\n");
    let failure = check().unwrap_err();
    for word in ["9014 bytes", &format!("weir limit {host_end} --ingress 1000000")] {
        assert!(failure.message.contains(word), "{word}: {failure:?}");
    }
    let (code, table) = shown();
    let faults = table.lines().filter(|line| line.contains("no: full packets have 9014 bytes")).count();
    assert_eq!((code, faults), (Some(3), 2), "{table}");
    let limit = format!("limit {host_end} --ingress 1000000 --egress 1000000");
    assert!(setting.node.weir(&limit).status.success());
    check().unwrap();
    assert_eq!(tests::shell(&large), "passes\n");
    assert!(setting.pod.reaches(HOST, 8000));
}

#[test]
fn a_burst_below_the_resolution_of_the_kernels_timers_is_reported() {
    let setting = Setting::new();
    let said = |burst: u64| {
        let config = bandwidth_config(json!({"ingressRate": 1_000_000_000, "ingressBurst": burst}));
        let call = setting.call();
        let output = call.raw("ADD", &with_prev_result(&config, &setting.attached).to_string());
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let small = said(20_000);
    for word in ["ingressBurst", "20000", "1000000000", "1000000 bits would do"] {
        assert!(small.contains(word), "{word}: {small}");
    }
    for enough in [1_000_000, CONTAINERD, CRIO] {
        assert_eq!(said(enough), "");
    }
}

#[test]
fn a_rate_that_kubernetes_does_not_allow_is_refused_from_every_source() {
    let setting = Setting::new();
    let message = setting.refused(json!({"egressRate": 1u64 << 63, "egressBurst": 8_000_000}));
    assert!(
        message.contains("egressRate: 9223372036854775808") && message.contains("1k and 1P"),
        "{message}"
    );
    for rate in [1, 7, 999, 1_000_000_000_000_001] {
        let message = setting.refused(requested(rate, CRIO));
        for word in ["runtimeConfig.bandwidth.ingressRate", &rate.to_string(), "between 1k and 1P"] {
            assert!(message.contains(word), "{word}: {message}");
        }
    }
    setting.shape(requested(1_000, CRIO));
}

#[test]
fn status_is_not_ready_for_a_config_with_which_every_add_fails() {
    let setting = Setting::new();
    let status = |keys| setting.call().verb("STATUS", &bandwidth_config(keys));
    status(json!({})).unwrap();
    status(json!({"ingressRate": 1_000_000, "ingressBurst": 100_000, "unshapedSubnets": ["10.0.0.0/8"]}))
        .unwrap();
    for (keys, key) in [
        (json!({"ingressRate": 1_000_000}), "ingressRate"),
        (json!({"egressRate": 7, "egressBurst": 800}), "egressRate"),
        (json!({"burstMilliseconds": 0}), "burstMilliseconds"),
        (json!({"runtimeBurst": "honest"}), "runtimeBurst"),
        (json!({"shapedSubnets": ["10.0.0.0/33"]}), "shapedSubnets"),
        (json!({"limitRange": {"namespaces": {"Shop": {}}}}), "limitRange.namespaces"),
        (json!({"limitRange": {"ingress": {"max": "1M", "min": "2M"}}}), "limitRange.ingress.min"),
    ] {
        let failure = status(keys).unwrap_err();
        assert!(failure.message.contains(key), "{failure:?}");
        assert_eq!(failure.code, 7);
    }
}
