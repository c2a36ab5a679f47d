//! GC: releases the addresses of attachments that are not valid.
//!
//! A runtime's list may lack the attachments of a second runtime with the same network, and those of concurrent ADDs.
//! So GC releases only what it finds when it starts, before it waits for anything. It keeps the reservations of an ADD
//! that has not ended and those whose interface still exists: `bridge` has deleted the interfaces of stale attachments
//! before. It also keeps addresses in namespaces with processes, unless `gcRemovesRunning` is set.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use cni::{Failure, Request, ValidAttachment};

use crate::config;
use crate::error::{Result, failed, refused, unreadable};
use crate::evidence::Evidence;
use crate::holder::Holder;
use crate::listing::list;
use crate::lock::cannot_exist;
use crate::making;
use crate::store::{CANNOT_LIST, Seen, Store};

/// Needs no ranges: a runtime that supplies them does not do so for GC. Continues after an error.
pub(crate) fn gc(request: &Request) -> Result<()> {
    let Some(valid) = request.valid_attachments()? else { return Ok(()) };
    let (directory, options) = config::place(request)?;
    let removes_running = config::gc_removes_running(request)?;
    let mut errors = Vec::new();
    let (empty, mut unused): (Vec<_>, Vec<_>) =
        stale(&directory, &valid, &mut errors)?.into_iter().partition(|seen| seen.holder == Holder::Empty);
    if !unused.is_empty() {
        // Without the lock: no ADD waits while every namespace is visited.
        unused = without_use(&request.network, unused, removes_running).unwrap_or_else(|error| {
            errors.push(error);
            Vec::new()
        });
    }
    match Store::open(&directory, options) {
        Ok(Some(mut store)) => {
            // An unfinished file may be a link to a reservation: to remove it changes that one's times.
            errors.extend(store.release_unchanged(empty.into_iter().chain(unused)).1);
            errors.extend(store.remove_unfinished().unwrap_or_else(|error| vec![error]));
        }
        Ok(None) => {}
        Err(error) => errors.push(error),
    }
    cni::collected(errors)
}

/// Returns the reservations of no valid attachment, without those of ADDs that have not ended. `errors` gets why others
/// could not be read.
fn stale(directory: &Path, valid: &[ValidAttachment], errors: &mut Vec<Failure>) -> Result<Vec<Seen>> {
    let attachments: HashSet<(&str, &str)> =
        valid.iter().map(|valid| (valid.container_id.as_str(), valid.interface.as_str())).collect();
    let containers: HashSet<&str> = valid.iter().map(|valid| valid.container_id.as_str()).collect();
    let is_stale = |holder: &Holder| match holder {
        Holder::Attachment { container_id, interface } => {
            !attachments.contains(&(container_id.as_str(), interface.as_str()))
        }
        Holder::Container { container_id } => !containers.contains(container_id.as_str()),
        Holder::Unknown => false,
        Holder::Empty => true,
    };
    let mut stale = Vec::new();
    let reservations = match list(directory) {
        Err(error) if cannot_exist(&error) => Vec::new(),
        read => read.map_err(failed(CANNOT_LIST, directory))?,
    };
    for reservation in reservations {
        let path = reservation.path(directory);
        match Seen::at(path.clone(), reservation.address) {
            Ok(seen) if is_stale(&seen.holder) && !making::is_in_progress(&path) => stale.push(seen),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => errors.push(unreadable(&path, error)),
        }
    }
    Ok(stale)
}

/// Returns those that nothing on this node uses. Names those that processes use on standard error.
///
/// # Errors
/// When the namespaces cannot be visited: every reservation stays.
fn without_use(network: &str, stale: Vec<Seen>, removes_running: bool) -> Result<Vec<Seen>> {
    let mut evidence = Evidence::gather();
    if let Some(reason) = evidence.blindness.take() {
        return Err(refused(format!(
            "{} addresses that are not in the list of valid attachments stay reserved, for processes may use them: {reason}",
            stale.len()
        )));
    }
    for failure in evidence.failures.iter().filter(|_| !removes_running) {
        cni::note(format_args!("weir: cannot tell whether processes use these addresses: {failure}"));
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
