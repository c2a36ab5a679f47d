//! Limits so slow that only single packets can be counted: whether a full-size one passes, and when.

use std::thread;
use std::time::Duration;

use tests::Process;

use crate::attached::{Attached, End};
use crate::case::{Case, Direction, Rate};
use crate::ping::{self, RoundTrips};

/// Full-size packets that are sent at once.
pub const PACKETS: u32 = 4;

/// Milliseconds that one full-size packet takes at this rate.
#[expect(clippy::cast_precision_loss, reason = "rates are below 2^52")]
pub fn packet_milliseconds(rate: Rate) -> f64 {
    1514.0 * 8.0 * 1000.0 / rate.0 as f64
}

/// Pings an idle pod with full-size packets, four at once, and waits as long as all of them take in both
/// directions. Returns the round trips of those that were answered.
pub fn full_packets(rate: Rate) -> Vec<RoundTrips> {
    let full = || {
        let attached = Attached::new(&Case::new(rate, Direction::In));
        attached.keep_neighbours();
        let most = packet_milliseconds(rate) * 2.0 * f64::from(PACKETS) / 1000.0 + 5.0;
        // One process each: a ping that has been answered once does not wait long for the next.
        let ping = format!("ping -n -q -s 1472 -M do -c 1 -W {most:.0} {}", attached.address(End::Pod));
        let pings: Vec<Process> = (0..PACKETS).map(|_| attached.start(End::Peer, &ping)).collect();
        let patience = Duration::from_secs_f64(most + 5.0);
        pings.into_iter().filter_map(|ping| ping::read(&ping.output(patience))).collect()
    };
    thread::scope(|scope| scope.spawn(full).join()).unwrap_or_default()
}
