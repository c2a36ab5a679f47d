//! When addresses were released, for `reuseDelaySeconds`: the file `.released` has a line for each release,
//! `<seconds since 1970> <address>`, the latest last.

use std::collections::HashMap;
use std::io::{self, Seek, Write};
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::file;

const NAME: &str = ".released";
const UNFINISHED: &str = ".released.new";
/// A longer file is rewritten without the addresses whose cooldown is over.
const LONG: usize = 64 * 1024;
/// More than the addresses of many /16 need; a longer file is not weir's.
const LONGEST: usize = 64 * 1024 * 1024;

/// Records that the addresses were released now.
pub(crate) fn note(directory: &Path, addresses: &[IpAddr], now: SystemTime) -> io::Result<()> {
    let now = seconds(now);
    let lines: String = addresses.iter().map(|address| format!("{now} {address}\n")).collect();
    let mut file = file::open_or_create(&directory.join(NAME))?;
    file.seek(io::SeekFrom::End(0))?;
    file.write_all(lines.as_bytes())
}

/// Returns the addresses that were released less than `delay` ago, the earliest first. A line or a file that cannot be
/// read counts as none.
pub(crate) fn in_cooldown(directory: &Path, delay: Duration, now: SystemTime) -> Vec<IpAddr> {
    let text = file::read(&directory.join(NAME), LONGEST).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let now = seconds(now);
    // A time in the future was written while the clock was wrong.
    let cools = |since: &u64| *since <= now && now - since < delay.as_secs();
    let mut latest: HashMap<IpAddr, u64> = HashMap::new();
    for (since, address) in text.lines().filter_map(parse).filter(|(since, _)| cools(since)) {
        latest.insert(address, since);
    }
    let mut cooling: Vec<_> = latest.into_iter().map(|(address, since)| (since, address)).collect();
    cooling.sort_unstable();
    let lines: String = cooling.iter().map(|(since, address)| format!("{since} {address}\n")).collect();
    if text.len() > LONG && lines.len() < text.len() / 2 {
        // The next call tries again.
        let unfinished = directory.join(UNFINISHED);
        let _ = file::replace(&directory.join(NAME), &unfinished, lines.as_bytes());
    }
    cooling.into_iter().map(|(_, address)| address).collect()
}

fn parse(line: &str) -> Option<(u64, IpAddr)> {
    let (since, address) = line.split_once(' ')?;
    Some((since.parse().ok()?, address.parse().ok()?))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn the_cooldown_of_an_address_begins_with_its_last_release() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let delay = Duration::from_secs(60);
        assert!(in_cooldown(directory, delay, at(0)).is_empty());
        note(directory, &[address(1), address(2)], at(100)).unwrap();
        note(directory, &[address(1)], at(110)).unwrap();
        assert_eq!(in_cooldown(directory, delay, at(120)), [address(2), address(1)]);
        assert_eq!(in_cooldown(directory, delay, at(159)), [address(2), address(1)]);
        assert_eq!(in_cooldown(directory, delay, at(160)), [address(1)]);
        assert!(in_cooldown(directory, delay, at(170)).is_empty());
        // The clock was put back.
        assert!(in_cooldown(directory, delay, at(50)).is_empty());
    }

    #[test]
    fn a_long_file_is_shortened_and_a_damaged_line_is_skipped() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        for round in 0..40 {
            note(directory, &(0..=255).map(address).collect::<Vec<_>>(), at(round)).unwrap();
        }
        OpenOptions::new()
            .append(true)
            .open(directory.join(NAME))
            .and_then(|mut file| file.write_all(b"half a li\n"))
            .unwrap();
        note(directory, &[address(7)], at(1000)).unwrap();
        assert_eq!(in_cooldown(directory, Duration::from_secs(60), at(1001)), [address(7)]);
        assert_eq!(fs::read_to_string(directory.join(NAME)).unwrap(), "1000 10.0.0.7\n");
    }
}
