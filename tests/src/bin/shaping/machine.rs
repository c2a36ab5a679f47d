//! The machine that measures, and whether it was busy with something else.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// One line about cores, kernel and programs.
pub fn description() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = information
        .lines()
        .find_map(|line| line.strip_prefix("model name").and_then(|rest| rest.split_once(": ")))
        .map_or("unknown model", |(_, model)| model);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let hypervisor = if information.contains(" hypervisor") { ", virtual" } else { "" };
    format!("{cores} cores ({model}{hypervisor}), Linux {}", kernel.trim())
}

/// The congestion controls that the kernel has.
pub fn congestion_controls() -> String {
    fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// CPU time since the start, summed over the cores, in ticks: all of it, and what was idle.
pub struct Ticks {
    all: u64,
    idle: u64,
}

impl Ticks {
    /// Reads `/proc/stat`.
    pub fn now() -> Self {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        let ticks: Vec<u64> = text
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(1)
            .filter_map(|word| word.parse().ok())
            .collect();
        // user nice system idle iowait irq softirq steal; what follows is counted in user already.
        Self { all: ticks.iter().take(8).sum(), idle: ticks.iter().skip(3).take(2).sum() }
    }

    /// How busy the cores were since `before`, from 0 to 1, by whomever.
    #[expect(clippy::cast_precision_loss, reason = "seconds of a few cores in hundredths")]
    pub fn busy_since(&self, before: &Self) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1) as f64;
        1.0 - self.idle.saturating_sub(before.idle) as f64 / all
    }
}

/// The load average of the last minute.
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// Sleeps a millisecond over and over: by how much the longest was longer, the machine was away.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Watch {
    /// Starts to watch.
    pub fn start() -> Self {
        const NAP: Duration = Duration::from_millis(1);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut longest = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                let start = Instant::now();
                thread::sleep(NAP);
                longest = longest.max(start.elapsed().saturating_sub(NAP));
            }
            longest
        });
        Self { stop, thread }
    }

    /// Milliseconds by which a nap was too long at worst.
    pub fn late(self) -> f64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default().as_secs_f64() * 1000.0
    }
}
