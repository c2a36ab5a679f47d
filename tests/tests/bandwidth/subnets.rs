//! `shapedSubnets` and `unshapedSubnets`, on real traffic: the host has an exempt address and another one.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

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

fn serve(setting: &Setting) -> Child {
    let mut server = setting.pod.command("exec iperf3 -s -p 5300");
    let server = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    server
}

/// Mbit/s over a second and a half between the pod and one of the host's addresses.
fn megabits(from: &str, to: &str, flags: &str) -> f64 {
    let report = tests::json(&format!("iperf3 -c {to} -p 5300 -B {from} -t 1.5 -J {flags}"));
    report["end"]["sum_received"]["bits_per_second"].as_f64().unwrap() / 1e6
}

fn check_traffic(lists: Value) {
    let (setting, keys) = setting(lists);
    assert_eq!(ifbs().len(), 2);
    let mut server = serve(&setting);
    for flags in ["", "-R"] {
        for (exempt, shaped, pod) in [(EXEMPT, SHAPED, POD), (EXEMPT_V6, SHAPED_V6, POD_V6)] {
            let (fast, slow) = (megabits(exempt, pod, flags), megabits(shaped, pod, flags));
            assert!(fast > 100.0, "exempt {exempt} {flags}: {fast} Mbit/s");
            assert!(slow < 5.0 && slow > 1.0, "shaped {shaped} {flags}: {slow} Mbit/s");
        }
    }
    // What is exempt does not wait behind what is shaped.
    let mut busy = std::process::Command::new("iperf3");
    let arguments = format!("-c {POD} -p 5300 -B {SHAPED} -t 3");
    let mut busy = busy.args(arguments.split(' ')).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    let begin = Instant::now();
    tests::shell(&format!("ping -n -q -i 0.01 -c 40 -I {EXEMPT} {POD}"));
    assert!(begin.elapsed() < Duration::from_millis(1500), "{:?}", begin.elapsed());
    busy.wait().unwrap();
    server.kill().unwrap();
    server.wait().unwrap();

    tests::shell(&format!("tc filter del dev {} ingress pref 61438", setting.host_end()));
    let failure = setting.check(keys).unwrap_err();
    assert!(failure.message.contains("shapedSubnets"), "{failure:?}");
    setting.delete();
}

#[test]
fn exempt_traffic_is_never_slowed_and_the_rest_is() {
    check_traffic(json!({"unshapedSubnets": ["192.0.2.0/24", "2001:db8:1::/48"]}));
}

#[test]
fn only_what_is_listed_is_slowed() {
    check_traffic(json!({"shapedSubnets": ["198.51.100.0/24", "2001:db8:2::/48"]}));
}

#[test]
fn both_lists_at_once_and_what_is_no_subnet_are_refused() {
    let setting = Setting::new();
    let keys = |shaped: Value, unshaped: Value| {
        json!({
            "ingressRate": 4_000_000, "ingressBurst": 80_000,
            "shapedSubnets": shaped, "unshapedSubnets": unshaped,
        })
    };
    assert!(setting.refused(keys(json!(["10.0.0.0/8"]), json!(["10.1.0.0/16"]))).contains("not both"));
    assert!(setting.refused(keys(json!(["10.0.0.0/64"]), json!(null))).contains("10.0.0.0/64"));
    setting.shape(keys(json!([]), json!(null)));
    setting.delete();
}
