//! Traffic from one namespace to another, read where it arrives.

use std::time::Duration;

use serde_json::Value;

use crate::process::Process;

/// How long a flow may take beyond its seconds: iperf3's last words wait in the queue as well.
const PATIENCE: Duration = Duration::from_secs(60);

/// A flow of iperf3. Its server is the sender, its client the receiver: the client's report has the seconds.
pub struct Flow<'a> {
    /// Path of the sender's network namespace; the thread's own when absent.
    pub sender: Option<&'a str>,
    /// The sender's address.
    pub address: &'a str,
    /// Path of the receiver's network namespace; the thread's own when absent.
    pub receiver: Option<&'a str>,
    /// How long.
    pub seconds: u32,
    /// Further options of iperf3's client, separated by spaces.
    pub options: &'a str,
}

/// The received rates in bits per second.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    /// In the first second.
    pub first_second: f64,
    /// In all seconds.
    pub mean: f64,
}

/// A flow under way.
pub struct Flowing {
    client: Process,
    _server: Process,
    seconds: u32,
}

impl Flow<'_> {
    /// Starts the flow.
    ///
    /// # Panics
    /// When iperf3 cannot be started.
    pub fn start(&self) -> Flowing {
        let Self { address, seconds, options, .. } = self;
        let mut server = Process::start(self.sender, &format!("iperf3 -s -1 -B {address} --forceflush"));
        server.wait_for("listening");
        let client = format!("iperf3 -c {address} -R -J -i 1 -t {seconds} {options}");
        let client = Process::start(self.receiver, &client);
        Flowing { client, _server: server, seconds: *seconds }
    }

    /// Runs the flow to its end.
    ///
    /// # Panics
    /// When nothing arrived.
    pub fn run(&self) -> Received {
        self.start().received().unwrap_or_else(|complaint| panic!("{}: {complaint}", self.address))
    }
}

impl Flowing {
    /// Waits for the end.
    ///
    /// # Errors
    /// iperf3's message when it measured nothing.
    pub fn received(self) -> Result<Received, String> {
        let output = self.client.output(Duration::from_secs(self.seconds.into()) + PATIENCE);
        let report: Value =
            serde_json::from_str(&output).map_err(|error| format!("iperf3: {error}: {output}"))?;
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
        Ok(Received { first_second: first_bytes * 8.0 / first_seconds, mean: bytes * 8.0 / all })
    }
}
