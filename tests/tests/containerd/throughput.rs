//! Throughput to and from pods of containerd.

use std::time::{Duration, Instant};

use tests::{Flow, PodSandbox, Received};

use crate::{GATEWAY, limited, node, remove};

/// One flow of TCP for some seconds.
const SECONDS: u32 = 5;
/// Other work on the machine can slow a flow down or bunch its packets: it is measured again, for two minutes. Each
/// time has a pod of its own: a burst that is too long would have passed with the first one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// TCP payload of an Ethernet frame of 1,514 bytes.
pub(crate) const PAYLOAD: f64 = 1448.0 / 1514.0;

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

/// Within 3 % over the whole time, and no burst at its beginning.
fn is(received: &Received, rate_bits_per_sec: f64) -> bool {
    let expected = rate_bits_per_sec * PAYLOAD;
    (received.mean / expected - 1.0).abs() <= 0.03 && received.first_second <= 1.15 * expected
}

fn lets_through(limit: &str, rate_bits_per_sec: f64) {
    let (_node, containerd) = node();
    for direction in [Direction::ToPod, Direction::FromPod] {
        let (mut seen, deadline) = (Vec::new(), Instant::now() + PATIENCE);
        while !seen.last().is_some_and(|received| is(received, rate_bits_per_sec)) {
            assert!(Instant::now() < deadline, "{direction:?}: {limit} let through {seen:?} bit/s");
            let sandbox = limited(&containerd, &format!("pod-{}", seen.len()), limit);
            seen.push(measure(&sandbox, direction));
            remove(&containerd, &sandbox);
        }
        println!("{direction:?}: {limit} let through {seen:?} bit/s");
    }
}

/// One flow between the pod and its gateway.
pub(crate) fn measure(sandbox: &PodSandbox, direction: Direction) -> Received {
    let pod = sandbox.pod.netns();
    let flow = Flow { sender: None, address: GATEWAY, receiver: Some(&pod), seconds: SECONDS, options: "" };
    match direction {
        Direction::ToPod => flow.run(),
        Direction::FromPod => {
            Flow { sender: Some(&pod), address: &sandbox.address, receiver: None, ..flow }.run()
        }
    }
}
