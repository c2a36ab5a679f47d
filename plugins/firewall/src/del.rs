//! DEL: removes what the record names; without one, what a search finds.

use std::net::IpAddr;

use attachment::{Result, claimant};
use cni::{Answer, Request};
use linux::{Attempts, Error, Family};
use nft::{Batch, Claimant, Nftables, unsettled};
use nix::errno::Errno;

use crate::config::addresses;
use crate::iptables::FAMILIES;
use crate::isolation;
use crate::record::{self, ATTACHMENTS, TABLE};
use crate::rules::{self, Handle};

/// Reads nothing of the config: it may have changed since ADD.
pub(crate) fn del(request: &Request) -> Answer<()> {
    let mut nftables = match Nftables::open() {
        // A kernel without nf_tables has nothing to remove.
        Err(Error::MissingFeature { .. }) => return Ok(()),
        nftables => nftables.map_err(attachment::Error::from)?,
    };
    let addresses = addresses(request.prev_result.as_ref());
    Ok(remove(&mut nftables, &claimant(request), &addresses)?)
}

/// Removes all of a claimant's. Where rules that were recorded are gone, also those without a claimant that accept for
/// `addresses`.
///
/// # Errors
/// The kernel's refusal. Then nothing is removed.
pub(crate) fn remove(nftables: &mut Nftables, claimant: &Claimant, addresses: &[IpAddr]) -> Result<()> {
    let operation = format_args!("remove what is accepted for {claimant}");
    for () in Attempts::default() {
        let batch = match removal(nftables, claimant, addresses) {
            Err(failed) if failed.is_missing_subsystem() => return Ok(()),
            batch => batch.map_err(|failed| failed.during(operation))?,
        };
        if batch.last() == 0 {
            return Ok(());
        }
        match nftables.transact(batch) {
            Ok(()) => return Ok(()),
            // Another process removed some of it.
            Err(failed) if failed.is(Errno::ENOENT) => {}
            Err(failed) => return Err(failed.during(operation).into()),
        }
    }
    Err(unsettled(operation, TABLE).into())
}

/// Returns the transaction that removes all; without messages if there is nothing.
fn removal(nftables: &mut Nftables, claimant: &Claimant, addresses: &[IpAddr]) -> nft::Result<Batch> {
    let mut batch = Batch::new(TABLE);
    let mut is_complete = false;
    let mut handles: Vec<Handle> = Vec::new();
    if let Some(record) = record::find(nftables, claimant)? {
        batch.delete_element(ATTACHMENTS, &claimant.digest.0);
        let found = rules::recorded(nftables, &record.rules, claimant)?;
        is_complete = found.len() == record.rules.len();
        handles.extend(found.iter().map(|(handle, _)| *handle));
        if let Some(port) = record.host_end.filter(|_| record.is_isolated)
            && isolation::is_isolated(nftables, &port, claimant)?
        {
            isolation::delete_port(&mut batch, &port);
        }
    }
    let is_likely = |family: &Family| {
        addresses.is_empty() || addresses.iter().any(|address| Family::of_address(*address) == *family)
    };
    for family in FAMILIES.into_iter().filter(|family| !is_complete && is_likely(family)) {
        let found = rules::search(nftables, family, claimant, addresses)?;
        for (handle, _) in found {
            if !handles.contains(&handle) {
                handles.push(handle);
            }
        }
    }
    rules::delete(&mut batch, handles);
    Ok(batch)
}

/// Deletes those of the rules that are there and the claimant's still.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn delete_rules(nftables: &mut Nftables, handles: &[Handle], claimant: &Claimant) -> Result<()> {
    let operation = format_args!("delete rules of {claimant}");
    for () in Attempts::default() {
        let found =
            rules::recorded(nftables, handles, claimant).map_err(|failed| failed.during(operation))?;
        if found.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new(TABLE);
        rules::delete(&mut batch, found.into_iter().map(|(handle, _)| handle));
        match nftables.transact(batch) {
            Err(failed) if failed.is(Errno::ENOENT) => {}
            outcome => return Ok(outcome.map_err(|failed| failed.during(operation))?),
        }
    }
    Err(unsettled(operation, TABLE).into())
}
