//! GC: give back the addresses of attachments that are not valid.
//!
//! A runtime's list may lack attachments of others that use the same network, such as a second runtime's, and those of
//! ADDs at the same moment. So GC gives back only what it finds at its first look, before it waits for anything, and of
//! that nothing which an ADD that has not ended made, or whose interface is there: `bridge` has deleted the interfaces
//! that it gives up. Addresses in namespaces in which processes live stay too, unless `gcRemovesRunning` says otherwise.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use cni::{Failure, Request, ValidAttachment};

use crate::config;
use crate::error::{Result, failed, refused, unreadable};
use crate::evidence::Evidence;
use crate::holder::Holder;
use crate::listing::Listing;
use crate::lock::cannot_exist;
use crate::making;
use crate::store::{CANNOT_LIST, Seen, Store};

/// Needs no ranges: a runtime that brings them along does not do so here. Goes on after an error.
pub(crate) fn gc(request: &Request) -> Result<()> {
    let Some(valid) = request.valid_attachments()? else { return Ok(()) };
    let (directory, options) = config::place(request)?;
    let removes_running = config::gc_removes_running(request)?;
    let mut errors = Vec::new();
    let (torn, mut unused): (Vec<_>, Vec<_>) =
        stale(&directory, &valid, &mut errors)?.into_iter().partition(|seen| seen.holder == Holder::Nobody);
    if !unused.is_empty() {
        // No ADD waits for the lock while every namespace is looked into.
        unused = without_use(&request.network, unused, removes_running).unwrap_or_else(|error| {
            errors.push(error);
            Vec::new()
        });
    }
    match Store::open(&directory, options) {
        Ok(Some(mut store)) => {
            errors.extend(store.remove_unfinished().unwrap_or_else(|error| vec![error]));
            errors.extend(store.release_unchanged(torn.into_iter().chain(unused)).1);
        }
        Ok(None) => {}
        Err(error) => errors.push(error),
    }
    cni::collected(errors)
}

/// Returns the reservations that are there now and that no valid attachment has, without those of ADDs that have not
/// ended; `errors` gets why others could not be looked at.
///
/// # Errors
/// When the directory cannot be read.
fn stale(directory: &Path, valid: &[ValidAttachment], errors: &mut Vec<Failure>) -> Result<Vec<Seen>> {
    let attachments: HashSet<(&str, &str)> =
        valid.iter().map(|valid| (valid.container_id.as_str(), valid.interface.as_str())).collect();
    let containers: HashSet<&str> = valid.iter().map(|valid| valid.container_id.as_str()).collect();
    let is_stale = |holder: &Holder| match holder {
        Holder::Attachment { container_id, interface } => {
            !attachments.contains(&(container_id.as_str(), interface.as_str()))
        }
        Holder::Container { container_id } => !containers.contains(container_id.as_str()),
        Holder::Stranger => false,
        Holder::Nobody => true,
    };
    let mut stale = Vec::new();
    let listing = match Listing::read(directory) {
        Err(error) if cannot_exist(&error) => Listing::default(),
        read => read.map_err(failed(CANNOT_LIST, directory))?,
    };
    for reservation in listing.reservations {
        let path = reservation.path(directory);
        match Seen::at(path.clone(), reservation.address) {
            Ok(seen) if is_stale(&seen.holder) && !making::is_at_work(&path) => stale.push(seen),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => errors.push(unreadable(&path, error)),
        }
    }
    Ok(stale)
}

/// Returns those that nothing on this node uses; names the others on standard error where processes use them.
///
/// # Errors
/// When the namespaces cannot be looked into: everything stays.
fn without_use(network: &str, stale: Vec<Seen>, removes_running: bool) -> Result<Vec<Seen>> {
    let mut evidence = Evidence::gather();
    if let Some(reason) = evidence.blindness.take() {
        return Err(refused(format!(
            "{} addresses that are not in the list of valid attachments stay reserved, for processes may use them: {reason}",
            stale.len()
        )));
    }
    for failure in evidence.failures.iter().filter(|_| !removes_running) {
        cni::note(format_args!("weir: processes may use addresses unseen: {failure}"));
    }
    let mut unused = Vec::with_capacity(stale.len());
    for seen in stale {
        let Seen { address, holder, .. } = &seen;
        if !removes_running && evidence.has_process(network, *address, holder) {
            cni::note(format_args!(
                "weir: GC leaves {address} to {holder}, which is not in the list of valid attachments: processes are in \
                 its network namespace (gcRemovesRunning)"
            ));
        } else if !evidence.has_pair_here(network, holder) {
            unused.push(seen);
        }
    }
    Ok(unused)
}
