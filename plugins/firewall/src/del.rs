//! DEL: removes what the record names; without one, what a search finds.

use std::net::IpAddr;

use attachment::{Result, claimant};
use cni::{Answer, Request};
use linux::{Attempts, Error, Family};
use nft::{Batch, Claimant, Nftables, unsettled};
use nix::errno::Errno;

use crate::config::{addresses, host_end};
use crate::iptables::FAMILIES;
use crate::isolation;
use crate::record::{self, ATTACHMENTS, Record, TABLE};
use crate::rules::{self, Handle};

/// Reads nothing of the config: it may have changed since ADD.
pub(crate) fn del(request: &Request) -> Answer<()> {
    let mut nftables = match Nftables::open() {
        // A kernel without nf_tables has nothing to remove.
        Err(Error::MissingFeature { .. }) => return Ok(()),
        nftables => nftables.map_err(attachment::Error::from)?,
    };
    let result = request.prev_result.as_ref();
    Ok(remove(&mut nftables, &claimant(request), &addresses(result), result.and_then(host_end))?)
}

/// Removes all of a claimant's. Where rules that were recorded are gone, also those without a claimant that accept for
/// `addresses`. Without a record, `host_end` may be isolated.
///
/// # Errors
/// The kernel's refusal. Then nothing is removed.
pub(crate) fn remove(
    nftables: &mut Nftables,
    claimant: &Claimant,
    addresses: &[IpAddr],
    host_end: Option<&str>,
) -> Result<()> {
    let operation = format_args!("remove what is accepted for {claimant}");
    for () in Attempts::default() {
        let batch = match removal(nftables, claimant, addresses, host_end) {
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
fn removal(
    nftables: &mut Nftables,
    claimant: &Claimant,
    addresses: &[IpAddr],
    host_end: Option<&str>,
) -> nft::Result<Batch> {
    let mut batch = Batch::new(TABLE);
    let record = record::find(nftables, claimant)?;
    if record.is_some() {
        batch.delete_element(ATTACHMENTS, &claimant.digest.0);
    }
    if let Some(port) = record.as_ref().map_or(host_end, Record::isolated_port) {
        isolation::delete_port_of(nftables, &mut batch, port, claimant)?;
    }
    let rules = rules(nftables, record.as_ref(), claimant, addresses)?;
    rules::delete(&mut batch, rules);
    Ok(batch)
}

/// Returns the claimant's rules: those that the record names; if some are gone, or it names none, also those that a
/// search finds. A killed ADD leaves a record that names none.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn rules(
    nftables: &mut Nftables,
    record: Option<&Record>,
    claimant: &Claimant,
    addresses: &[IpAddr],
) -> nft::Result<Vec<Handle>> {
    let recorded = record.map_or(&[][..], |record| &record.rules);
    let found = rules::recorded(nftables, recorded, claimant)?;
    let mut handles: Vec<Handle> = found.iter().map(|(handle, _)| *handle).collect();
    if !recorded.is_empty() && handles.len() == recorded.len() {
        return Ok(handles);
    }
    let is_likely = |family: &Family| {
        record.is_some()
            || addresses.is_empty()
            || addresses.iter().any(|address| Family::of_address(*address) == *family)
    };
    for family in FAMILIES.into_iter().filter(is_likely) {
        for (handle, _) in rules::search(nftables, family, claimant, addresses)? {
            if !handles.contains(&handle) {
                handles.push(handle);
            }
        }
    }
    Ok(handles)
}
