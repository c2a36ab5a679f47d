//! Small packets beside the load: how long they wait.

use std::time::Duration;

use ::tests::Process;

use crate::attached::{Attached, End};
use crate::case::Rate;

/// Round trips, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct RoundTrips {
    pub mean: f64,
    pub worst: f64,
    pub lost: u32,
}

/// Below this limit twenty pings a second would be a part of the load that counts.
const SLOW: u64 = 1_000_000;

/// Starts to ping the pod for so many seconds: twenty times a second, twice when the limit is below 1 Mbit/s.
pub fn start(attached: &Attached, rate: Rate, seconds: u32) -> Process {
    let interval = if rate.0 < SLOW { "0.5" } else { "0.05" };
    attached
        .start(End::Peer, &format!("ping -n -q -i {interval} -w {seconds} {}", attached.address(End::Pod)))
}

/// Waits for the end of what [`start`] started.
pub fn finish(ping: Process, seconds: u32) -> Option<RoundTrips> {
    read(&ping.output(Duration::from_secs(seconds.into()) + Duration::from_secs(10)))
}

/// Reads the last two lines of ping; `None` without any answer.
pub fn read(printed: &str) -> Option<RoundTrips> {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let sent = printed.lines().find(|line| line.contains("packets transmitted"))?;
    let counts: Vec<u32> =
        sent.split(", ").filter_map(|part| part.split(' ').next()?.parse().ok()).take(2).collect();
    let (_, times) = printed.lines().find(|line| line.starts_with("rtt"))?.split_once("= ")?;
    let mut times = times.split('/').skip(1);
    Some(RoundTrips {
        mean: number(times.next()?)?,
        worst: number(times.next()?)?,
        lost: counts.first()?.saturating_sub(*counts.get(1)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_ping_is_read() {
        let printed = "\
PING 10.244.0.2 (10.244.0.2) 56(84) bytes of data.

--- 10.244.0.2 ping statistics ---
200 packets transmitted, 198 received, 1% packet loss, time 9951ms
rtt min/avg/max/mdev = 0.021/26.502/45.100/8.211 ms, pipe 2
";
        let trips = read(printed).unwrap();
        assert_eq!((trips.mean, trips.worst, trips.lost), (26.502, 45.1, 2));
        assert!(read("1 packets transmitted, 0 received, 100% packet loss, time 0ms\n").is_none());
    }
}
