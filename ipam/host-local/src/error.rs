//! Errors of reservations, with their codes. Errors of a key are where the key is read.
//!
//! A sentence that tools parse is the reference's; the details then tell the operator what to do.

use std::fmt::Display;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use cni::{Failure, code};

use crate::holder::Holder;
use crate::range_set::RangeSet;
use crate::time;

/// The result of a verb and of the functions below it.
pub(crate) type Result<T> = cni::Answer<T>;

/// Returns a function that adds `sentence`, such as `cannot write`, and the file to the system's error.
pub(crate) fn failed(sentence: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::new(code::IO_FAILURE, format!("{sentence} {}: {error}", path.display()))
}

/// GC cannot read a reservation.
pub(crate) fn unreadable(path: &Path, error: io::Error) -> Failure {
    let failure = failed("cannot read", path)(error);
    Failure { msg: format!("{}; its address stays reserved", failure.msg), ..failure }
}

/// The lock cannot be taken.
pub(crate) fn cannot_lock(path: &Path, error: io::Error) -> Failure {
    Failure::new(code::TRY_AGAIN_LATER, format!("cannot lock {}: {error}", path.display()))
}

/// The lock was not released in time. `holders` are the processes that have it, as far as the kernel tells.
pub(crate) fn lock_timeout(path: &Path, patience: Duration, holders: &[String]) -> Failure {
    let holders = match holders.is_empty() {
        true => "the kernel does not show which process has it".to_owned(),
        false => format!("{} has it", list(holders, ", ")),
    };
    let (path, seconds) = (path.display(), patience.as_secs_f32());
    let sentence = format!("cannot lock {path} within {seconds} s (ipam.lockTimeoutSeconds): {holders}");
    Failure::new(code::TRY_AGAIN_LATER, sentence)
}

/// Range set `number` of the config gives no address, for this reason.
pub(crate) fn in_set(number: usize, reason: Failure) -> Failure {
    Failure { msg: format!("failed to allocate for range {number}: {}", reason.msg), ..reason }
}

/// Every address of the set is held.
pub(crate) fn exhausted(set: &RangeSet) -> Failure {
    refused(format!("no IP addresses available in range set: {set}"))
        .with_details("weir ipam audit shows their holders, weir ipam reclaim releases leaked ones")
}

/// Requested addresses are in none of the range sets, or in one with another requested address.
pub(crate) fn unfulfilled(addresses: &[IpAddr], sets: &[RangeSet]) -> Failure {
    let sets: Vec<_> = sets.iter().map(|set| format!("{} has {set}", set.key)).collect();
    refused(format!("failed to allocate all requested IPs: {}", list(addresses, " ")))
        .with_details(format!("each range set gives one address of its ranges: {}", list(&sets, ", ")))
}

/// The attachment has an address of the set already.
pub(crate) fn duplicate(address: IpAddr, container_id: &str, path: &Path) -> Failure {
    Failure {
        details: format!(
            "reserved in {} since {}; DEL for container {container_id} releases the address, and so does weir ipam release \
             if the container is gone",
            path.display(),
            time_of(path),
        ),
        ..refused(format!(
            "{address} has been allocated to {container_id}, duplicate allocation is not allowed"
        ))
    }
}

/// The requested address is held.
pub(crate) fn held(address: IpAddr, set: &RangeSet, holder: &Holder, path: &Path) -> Failure {
    Failure {
        details: format!(
            "reserved in {} for {holder} since {}; weir ipam audit shows whether the holder still exists",
            path.display(),
            time_of(path),
        ),
        ..refused(format!("requested IP address {address} is not available in range set {set}"))
    }
}

/// An address cannot be allocated or released.
pub(crate) fn refused(sentence: String) -> Failure {
    Failure::new(code::INTERNAL, sentence)
}

/// Returns when the reservation was written.
fn time_of(path: &Path) -> String {
    let modified = path.symlink_metadata().and_then(|metadata| metadata.modified());
    modified.map_or_else(|_| "an unknown time".to_owned(), |time: SystemTime| time::utc(time))
}

fn list(items: &[impl Display], separator: &str) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}
