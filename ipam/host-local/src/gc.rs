//! GC: give back the addresses of attachments that are not valid.
//!
//! A runtime's list may lack attachments of others that use the same network, such as a second runtime's, and those of
//! an ADD at the same moment. So what would be given back is looked at first: what belongs to a namespace in which a
//! process lives stays (unless `gcRemovesRunning` says otherwise), and so does what an ADD that has not ended made.

use std::collections::HashSet;

use cni::Request;

use crate::config;
use crate::error::{Result, refused};
use crate::evidence::Evidence;
use crate::holder::Holder;
use crate::store::{Seen, Store};

/// Needs no ranges: a runtime that brings them along does not do so here.
pub(crate) fn gc(request: &Request) -> Result<()> {
    let Some(valid) = request.valid_attachments()? else { return Ok(()) };
    let (directory, options) = config::place(request)?;
    let removes_running = config::gc_removes_running(request)?;
    let Some(mut store) = Store::open(&directory, options)? else { return Ok(()) };
    let mut errors = store.remove_unfinished()?;
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
    let stale = store.stale(is_stale, &mut errors)?;
    let (claimed, torn): (Vec<_>, Vec<_>) =
        stale.into_iter().partition(|(_, holder)| *holder != Holder::Nobody);
    errors.extend(store.release_unchanged(torn.into_iter().map(|(seen, _)| seen)).1);
    if !claimed.is_empty() {
        let unused = match removes_running {
            true => claimed.into_iter().map(|(seen, _)| seen).collect(),
            false => {
                // No ADD waits for the lock while every namespace is looked into.
                drop(store);
                let unused = without_process(&request.network, claimed).unwrap_or_else(|error| {
                    errors.push(error);
                    Vec::new()
                });
                store = match Store::open(&directory, options)? {
                    Some(store) => store,
                    None => return cni::collected(errors),
                };
                unused
            }
        };
        errors.extend(store.release_unchanged(unused).1);
    }
    cni::collected(errors)
}

/// Names what stays on standard error.
///
/// # Errors
/// When the namespaces cannot be looked into: everything stays.
fn without_process(network: &str, claimed: Vec<(Seen, Holder)>) -> Result<Vec<Seen>> {
    let mut evidence = Evidence::gather();
    if let Some(reason) = evidence.blindness.take() {
        return Err(refused(format!(
            "{} addresses that are not in the list of valid attachments stay reserved, for processes may use them: {reason}",
            claimed.len()
        )));
    }
    for failure in &evidence.failures {
        cni::note(format_args!("weir: processes may use addresses unseen: {failure}"));
    }
    let mut unused = Vec::with_capacity(claimed.len());
    for (seen, holder) in claimed {
        if evidence.has_process(network, seen.address, &holder) {
            cni::note(format_args!(
                "weir: GC leaves {} to {holder}, which is not in the list of valid attachments: processes are in its \
                 network namespace (gcRemovesRunning)",
                seen.address
            ));
        } else {
            unused.push(seen);
        }
    }
    Ok(unused)
}
