//! The load: iperf3, read at its receiver.

use std::time::Duration;

use serde_json::Value;

use crate::attached::{Attached, End};
use crate::case::{Case, Direction, Load};
use crate::process::Process;

/// How long a run may take beyond its seconds: iperf3's last words wait in the queue as well.
const PATIENCE: Duration = Duration::from_secs(15);

/// What arrived, in bits per second.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    pub first_second: f64,
    pub all: f64,
}

/// A load that runs: its client is the receiver.
pub struct Running {
    client: Process,
    _server: Process,
    seconds: u32,
}

/// Starts the case's load for so many seconds.
///
/// # Panics
/// When iperf3 cannot be started.
pub fn start(attached: &Attached, case: &Case, seconds: u32) -> Running {
    let (sender, receiver) = match case.direction {
        Direction::In => (End::Peer, End::Pod),
        Direction::Out => (End::Pod, End::Peer),
    };
    let mut server = attached.start(sender, "iperf3 -s -1 --forceflush");
    server.wait_for("listening");
    let kind = match case.load {
        Load::Tcp { control, flows } => format!("-C {control} -P {flows}"),
        Load::Udp => format!("-u -l 1472 -b {}", case.rate.0 * 2),
    };
    let address = attached.address(sender);
    let client = attached.start(receiver, &format!("iperf3 -c {address} -R -J -i 1 -t {seconds} {kind}"));
    Running { client, _server: server, seconds }
}

impl Running {
    /// Waits for its end.
    ///
    /// # Errors
    /// What iperf3 said, when it measured nothing.
    pub fn received(self) -> Result<Received, String> {
        let output = self.client.output(Duration::from_secs(self.seconds.into()) + PATIENCE);
        let report: Value = serde_json::from_str(&output).map_err(|error| format!("iperf3: {error}"))?;
        // The last interval may be a short one.
        let seconds: Vec<(f64, f64)> = report["intervals"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|interval| {
                Some((interval["sum"]["bytes"].as_f64()?, interval["sum"]["seconds"].as_f64()?))
            })
            .filter(|(_, seconds)| *seconds > 0.5)
            .collect();
        let Some((first_bytes, first_seconds)) = seconds.first() else {
            return Err(format!("iperf3: {}", report["error"].as_str().unwrap_or("nothing was measured")));
        };
        let bytes: f64 = seconds.iter().map(|(bytes, _)| bytes).sum();
        let all: f64 = seconds.iter().map(|(_, seconds)| seconds).sum();
        Ok(Received { first_second: first_bytes * 8.0 / first_seconds, all: bytes * 8.0 / all })
    }
}
