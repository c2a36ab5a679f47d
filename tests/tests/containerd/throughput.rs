//! What arrives at pods that containerd has made, and from them.

use std::process::Command;

use serde_json::Value;
use tests::{Containerd, PodSandbox, eventually};

use crate::{GATEWAY, limited, node, remove};

/// One flow of TCP for some seconds.
const SECONDS: usize = 5;
/// Other work on the machine can slow a flow down or bunch its packets. Each attempt has a pod of its own: a
/// burst that is too long would have passed with the first one.
const ATTEMPTS: usize = 3;
/// What an Ethernet frame has room for in TCP's payload, beside its 1,514 bytes.
const PAYLOAD: f64 = 1448.0 / 1514.0;

#[test]
fn an_annotation_of_10m_lets_through_ten_megabits_from_the_first_second() {
    lets_through("10M", 10e6);
}

#[test]
fn an_annotation_of_1g_lets_through_a_gigabit_from_the_first_second() {
    lets_through("1G", 1e9);
}

/// Which way the packets go.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Direction {
    ToPod,
    FromPod,
}

/// What a receiver got, in bits per second.
#[derive(Debug)]
pub(crate) struct Received {
    pub first_second: f64,
    pub mean: f64,
}

impl Received {
    /// Within 3 % over the whole time, and no burst at its beginning.
    pub fn is(&self, rate_bits_per_sec: f64) -> bool {
        let expected = rate_bits_per_sec * PAYLOAD;
        (self.mean / expected - 1.0).abs() <= 0.03 && self.first_second <= 1.15 * expected
    }
}

fn lets_through(limit: &str, rate_bits_per_sec: f64) {
    let (_node, mut containerd) = node();
    for direction in [Direction::ToPod, Direction::FromPod] {
        let mut seen = Vec::new();
        while !seen.last().is_some_and(|received: &Received| received.is(rate_bits_per_sec)) {
            assert!(seen.len() < ATTEMPTS, "{direction:?}: {limit} let through {seen:?} bit/s");
            let sandbox = limited(&containerd, &format!("pod-{}", seen.len()), limit);
            seen.push(measure(&mut containerd, &sandbox, direction));
            remove(&containerd, &sandbox);
        }
        println!("{direction:?}: {limit} let through {seen:?} bit/s");
    }
}

/// Runs one flow and asks its receiver, which is the client of `iperf3`.
pub(crate) fn measure(containerd: &mut Containerd, sandbox: &PodSandbox, direction: Direction) -> Received {
    let log = "/run/iperf3.log";
    let (address, enter) = match direction {
        Direction::ToPod => (GATEWAY, String::new()),
        Direction::FromPod => (sandbox.address.as_str(), format!("nsenter --net={}", sandbox.netns)),
    };
    containerd.shell(&format!(
        "rm -f {log}; {enter} timeout 60 iperf3 --server --one-off --bind {address} --forceflush > {log} 2>&1 &"
    ));
    let listens = || std::fs::read_to_string(log).is_ok_and(|text| text.contains("listening"));
    eventually("iperf3 listens", listens);
    let client = format!("timeout 60 iperf3 --client {address} --reverse --time {SECONDS} --json");
    let mut client = match direction {
        Direction::ToPod => sandbox.pod.command(&client),
        Direction::FromPod => {
            let mut shell = Command::new("sh");
            shell.args(["-ec", &client]);
            shell
        }
    };
    let output = client.output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let rate = |of: &Value| of["bits_per_second"].as_f64().unwrap_or_else(|| panic!("{report}"));
    Received {
        first_second: rate(&report["intervals"][0]["sum"]),
        mean: rate(&report["end"]["sum_received"]),
    }
}
