//! A limit is the limit, from the first second on.

use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use crate::setting::{CONTAINERD, CRIO, HOST, POD, Setting, requested};

/// What is left of an Ethernet frame for TCP's payload, with timestamps and an MTU of 1,500.
const PAYLOAD: f64 = 1448.0 / 1514.0;
/// The machine is measured too: it may be busy in one run, but not in three.
const RUNS: usize = 3;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The receiver's rate over the whole run and over its first second, in parts of what the limit gives.
fn received(setting: &Setting, to_pod: bool, rate: u64) -> (f64, f64) {
    // The client is the one that receives: its report is the one with seconds.
    let (server, client) = if to_pod {
        (std::process::Command::new("sh"), setting.pod.command(&format!("iperf3 -c {HOST} -t 5 -J -R")))
    } else {
        let mut client = std::process::Command::new("sh");
        client.args(["-c", &format!("iperf3 -c {POD} -t 5 -J -R")]);
        (setting.pod.command("exec iperf3 -s -1"), client)
    };
    let mut server = server;
    if to_pod {
        server.args(["-c", "exec iperf3 -s -1"]);
    }
    let mut server = server.stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let mut client = client;
    let output = client.output().unwrap();
    server.wait().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    #[allow(clippy::cast_precision_loss)]
    let full = rate as f64 * PAYLOAD;
    let part = |bits: &Value| bits.as_f64().unwrap() / full;
    (
        part(&report["end"]["sum_received"]["bits_per_second"]),
        part(&report["intervals"][0]["sum"]["bits_per_second"]),
    )
}

fn a_limit_is_the_limit(rate: u64, burst: u64) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let setting = Setting::new();
    setting.shape(requested(rate, burst));
    for to_pod in [true, false] {
        let mut seen = Vec::new();
        let good = (0..RUNS).any(|_| {
            let (whole, first) = received(&setting, to_pod, rate);
            seen.push((whole, first));
            (0.97..=1.03).contains(&whole) && first <= 1.15
        });
        assert!(good, "{rate} bit/s, to the pod: {to_pod}: {seen:?}");
    }
    setting.delete();
}

#[test]
fn ten_megabit_with_containerds_burst() {
    a_limit_is_the_limit(10_000_000, CONTAINERD);
}

#[test]
fn ten_megabit_with_crios_burst() {
    a_limit_is_the_limit(10_000_000, CRIO);
}

#[test]
fn a_gigabit_with_containerds_burst() {
    a_limit_is_the_limit(1_000_000_000, CONTAINERD);
}

#[test]
fn a_full_packet_passes_at_64_kilobit() {
    for burst in [CONTAINERD, CRIO, 8] {
        let setting = Setting::new();
        setting.shape(requested(64_000, burst));
        assert!(setting.pod.reaches(HOST, 1472), "{burst}");
        setting.delete();
    }
}
