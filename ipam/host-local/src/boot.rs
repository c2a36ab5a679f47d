//! Reservations from before the last boot, for `reclaimAfterReboot`.
//!
//! The file `.boot` beside the reservations holds the boot ID of the last ADD and the reservations that the first ADD
//! of that boot found, a line `<address> <inode> <time of change>` for each. A reservation is from before the boot when
//! it is listed and its file is unchanged. A file that is younger than the boot is not listed, because the reference
//! may have created it before weir's first call; no other clock is involved. Without this file nothing is known about
//! the reservations.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::error::{Result, failed};
use crate::evidence::Evidence;
use crate::file;
use crate::listing::holder_at;
use crate::range_set::RangeSet;
use crate::stamp::changed;
use crate::store::Store;

const NAME: &str = ".boot";
const UNFINISHED: &str = ".boot.new";
/// More than the addresses of many /16 need; a longer file is not weir's.
const LONGEST: usize = 64 * 1024 * 1024;

/// Lists, once in each boot, the reservations from before it.
pub(crate) fn note(store: &mut Store) -> Result<()> {
    note_boot(store, &boot_id(), begin())
}

fn note_boot(store: &mut Store, boot: &str, begin: SystemTime) -> Result<()> {
    let path = store.directory().join(NAME);
    let known = read(&path);
    if boot.is_empty() || known.lines().next() == Some(boot) {
        return Ok(());
    }
    let mut text = format!("{boot}\n");
    if !known.is_empty() {
        for reservation in store.list()? {
            let path = reservation.path(store.directory());
            let Ok(metadata) = path.symlink_metadata() else { continue };
            if metadata.modified().is_ok_and(|modified| modified < begin) {
                text.push_str(&format!("{} {}\n", reservation.address, identity(&metadata)));
            }
        }
    }
    store.touch()?;
    let unfinished = store.directory().join(UNFINISHED);
    file::replace(&path, &unfinished, text.as_bytes()).map_err(failed("cannot write", &path))
}

/// Releases the addresses of `set` that are reserved since before the boot for containers that are certainly gone.
/// Returns their number, and names them on standard error.
pub(crate) fn reclaim(store: &mut Store, set: &RangeSet) -> Result<usize> {
    let old = from_before(store.directory());
    let old: Vec<_> = old.into_iter().filter(|address| set.range_of(*address).is_some()).collect();
    if old.is_empty() {
        return Ok(0);
    }
    reclaim_known_gone(store, &old, &Evidence::gather())
}

fn reclaim_known_gone(store: &mut Store, old: &[IpAddr], evidence: &Evidence) -> Result<usize> {
    for failure in &evidence.failures {
        cni::note(format_args!("weir: no address from before the last boot is released: {failure}"));
    }
    let mut count = 0;
    for &address in old {
        let holder = holder_at(&store.directory().join(address.to_string()));
        if evidence.knows_gone(address, &holder) {
            store.release(address)?;
            cni::note(format_args!(
                "weir: released {address}, reserved since before the last boot for {holder}"
            ));
            count += 1;
        }
    }
    Ok(count)
}

/// Returns the addresses whose reservation is the listed one.
fn from_before(directory: &Path) -> Vec<IpAddr> {
    let text = read(&directory.join(NAME));
    let is_same = |line: &str| -> Option<IpAddr> {
        let (address, noted) = line.split_once(' ')?;
        let metadata = directory.join(address).symlink_metadata().ok()?;
        (identity(&metadata) == noted).then(|| address.parse().ok())?
    };
    let addresses: HashSet<_> = text.lines().skip(1).filter_map(is_same).collect();
    let mut addresses: Vec<_> = addresses.into_iter().collect();
    addresses.sort_unstable();
    addresses
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&file::read(path, LONGEST).unwrap_or_default()).into_owned()
}

fn identity(metadata: &fs::Metadata) -> String {
    format!("{} {}", metadata.ino(), changed(metadata))
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Returns when this boot began, by the present clock.
fn begin() -> SystemTime {
    let uptime = || -> io::Result<Option<f64>> {
        let text = fs::read_to_string("/proc/uptime")?;
        Ok(text.split(' ').next().and_then(|seconds| seconds.parse().ok()))
    };
    let uptime = uptime().ok().flatten().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    uptime.and_then(|uptime| SystemTime::now().checked_sub(uptime)).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Options, Owner};

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn store(directory: &Path) -> Store {
        Store::create(directory, Options::default()).unwrap()
    }

    fn reserve(store: &mut Store, last: u8) {
        let owner = Owner { container_id: &format!("c{last}"), interface: "eth0" };
        assert!(store.reserve(address(last), owner).unwrap());
    }

    #[test]
    fn a_reservation_that_the_first_add_of_a_boot_found_is_from_before_it_until_it_changes() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path();
        let later = SystemTime::now() + Duration::from_secs(60);
        reserve(&mut store(directory), 1);
        // Nothing is known of what is there when weir starts to take note.
        note_boot(&mut store(directory), "first", later).unwrap();
        assert!(from_before(directory).is_empty());
        reserve(&mut store(directory), 2);
        note_boot(&mut store(directory), "second", later).unwrap();
        reserve(&mut store(directory), 3);
        note_boot(&mut store(directory), "second", later).unwrap();
        assert_eq!(from_before(directory), [address(1), address(2)]);
        store(directory).release(address(1)).unwrap();
        reserve(&mut store(directory), 1);
        assert_eq!(from_before(directory), [address(2)]);
        note_boot(&mut store(directory), "third", later).unwrap();
        assert_eq!(from_before(directory), [1, 2, 3].map(address));
    }

    #[test]
    fn a_reservation_younger_than_the_boot_is_not_from_before_it() {
        let parent = tempfile::tempdir().unwrap();
        note_boot(&mut store(parent.path()), "first", SystemTime::now()).unwrap();
        let begin = SystemTime::now() - Duration::from_secs(60);
        reserve(&mut store(parent.path()), 1);
        note_boot(&mut store(parent.path()), "second", begin).unwrap();
        assert!(from_before(parent.path()).is_empty());
    }

    #[test]
    fn this_boot_began_before_now() {
        assert!(begin() > SystemTime::UNIX_EPOCH && begin() < SystemTime::now());
        assert_eq!(boot_id().len(), 36);
    }
}
