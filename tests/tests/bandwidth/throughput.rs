//! A limit is the limit, from the first second on.

use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use tests::Flow;

use crate::setting::{CONTAINERD, CRIO, HOST, POD, Setting, requested};

/// TCP payload as a part of an Ethernet frame, with timestamps and an MTU of 1,500.
const PAYLOAD: f64 = 1448.0 / 1514.0;
/// The machine is measured too: what does other work at the same time slows a flow down or bunches its packets. So it
/// is measured again, for two minutes. Each time has a pod of its own: a burst that is too long would have passed with
/// the first one.
const PATIENCE: Duration = Duration::from_secs(120);

/// A gigabit is measured while nothing else is: it needs much of the machine.
static MACHINE: RwLock<()> = RwLock::new(());
const NEEDS_THE_MACHINE: u32 = 1_000_000_000;

fn a_limit_is_the_limit(rate: u32, burst: u64) {
    let (_alone, _beside) = if rate >= NEEDS_THE_MACHINE {
        (Some(MACHINE.write().unwrap_or_else(PoisonError::into_inner)), None)
    } else {
        (None, Some(MACHINE.read().unwrap_or_else(PoisonError::into_inner)))
    };
    for to_pod in [true, false] {
        let (mut seen, deadline) = (Vec::new(), Instant::now() + PATIENCE);
        loop {
            let (whole, first) = received(rate, burst, to_pod);
            seen.push((whole, first));
            if (0.97..=1.03).contains(&whole) && first <= 1.15 {
                break;
            }
            assert!(Instant::now() < deadline, "{rate} bit/s, to the pod: {to_pod}: {seen:?}");
        }
    }
}

/// Over the whole time and over its first second, in parts of what the limit gives.
fn received(rate: u32, burst: u64, to_pod: bool) -> (f64, f64) {
    let setting = Setting::new();
    setting.shape(requested(rate.into(), burst));
    let pod = setting.pod.netns();
    let flow = Flow { sender: None, address: HOST, receiver: Some(&pod), seconds: 5, options: "" };
    let received = if to_pod {
        flow.run()
    } else {
        Flow { sender: Some(&pod), address: POD, receiver: None, ..flow }.run()
    };
    setting.delete();
    let full = f64::from(rate) * PAYLOAD;
    (received.mean / full, received.first_second / full)
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
