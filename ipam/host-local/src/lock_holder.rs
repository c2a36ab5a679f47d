//! The processes that have a lock, from `/proc/locks`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Returns the processes that have a flock(2) lock on the file at `path`, as `process 123 (host-local)`; none when the
/// kernel does not show them, as for processes outside of this PID namespace.
pub(crate) fn holders(path: &Path) -> Vec<String> {
    /// The kernel returns the table in parts; a line may be missing between two of them when other locks are released.
    const LOOKS: usize = 5;
    let Ok(metadata) = fs::metadata(path) else { return Vec::new() };
    let look = |_| {
        let table = fs::read_to_string("/proc/locks").ok()?;
        Some(pids(&table, metadata.dev(), metadata.ino())).filter(|pids| !pids.is_empty())
    };
    let pids = (0..LOOKS).find_map(look).unwrap_or_default();
    pids.into_iter().map(|pid| format!("process {pid} ({})", command(pid))).collect()
}

/// Parses lines such as `12: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF`. Lines with `->` are of waiting processes.
fn pids(table: &str, device: u64, inode: u64) -> Vec<u32> {
    let file = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    let holder = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let is_lock = words.next() == Some("FLOCK");
        let mut words = words.skip(2);
        let pid = words.next()?.parse().ok()?;
        (is_lock && pid != 0 && words.next() == Some(file.as_str())).then_some(pid)
    };
    table.lines().filter_map(holder).collect()
}

/// Returns a process's command line, or its name when it has none.
fn command(pid: u32) -> String {
    let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let line = read("cmdline");
    let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    let words: Vec<_> = words.map(String::from_utf8_lossy).collect();
    match words.is_empty() {
        true => String::from_utf8_lossy(&read("comm")).trim().to_owned(),
        false => words.join(" "),
    }
}

/// `gnu_dev_major` of sys/sysmacros.h.
fn major(device: u64) -> u64 {
    (device >> 8) & 0xfff | (device >> 32) & !0xfff
}

/// `gnu_dev_minor` of sys/sysmacros.h.
fn minor(device: u64) -> u64 {
    device & 0xff | (device >> 12) & !0xff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_found_by_device_and_inode_without_waiting_processes() {
        let table = "\
1: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF
1: -> FLOCK  ADVISORY  WRITE 4712 fe:00:131 0 EOF
2: FLOCK  ADVISORY  WRITE 4713 fe:01:131 0 EOF
3: POSIX  ADVISORY  WRITE 4714 fe:00:131 0 EOF
4: FLOCK  ADVISORY  WRITE 4715 fe:00:1310 0 EOF
5: FLOCK  ADVISORY  WRITE 0 fe:00:131 0 EOF
";
        assert_eq!(pids(table, 0xfe00, 131), [4711]);
        assert!(pids(table, 0xfe02, 131).is_empty());
    }
}
