//! ADD: take the ports, all at once or none.

use attachment::Result;
use cni::{AddResult, Failure, Request};
use linux::{Error, Feature, tracks_sctp};
use nft::Nftables;
use nix::libc;

use crate::config::Settings;
use crate::forward::Forward;
use crate::record::Record;
use crate::table::Needs;
use crate::{holders, localnet, stale};

/// Returns the result of the plugin before, unchanged.
pub(crate) fn add(request: &Request) -> Result<AddResult> {
    let settings = Settings::of(request)?;
    let previous = request.prev_result.clone().ok_or_else(Failure::not_chained)?;
    if settings.is_empty() {
        return Ok(previous);
    }
    let forwards = settings.forwards(request, &previous)?;
    if forwards.is_empty() {
        return Ok(previous);
    }
    let record = Record::new(request, forwards)?;
    if !record.fits() {
        return Err(Failure::invalid_key("runtimeConfig.portMappings", "more than 1500 do not fit").into());
    }
    let mut nftables = Nftables::open()?;
    let masqueraded = record.forwards.iter().flat_map(Forward::masqueraded).collect();
    let needs = Needs { masqueraded, conditional: settings.conditional().collect() };
    let replaced = holders::take(&mut nftables, &record, &needs)?;
    // After the table, whose guard keeps 127.0.0.0/8 inside the host.
    let outcome = has_sctp(&record.forwards).and_then(|()| localnet::allow(&record.forwards));
    if let Err(error) = outcome {
        if let Err(failed) = holders::give_back(&mut nftables, &record) {
            cni::note(format_args!("portmap: {}", failed.during(format_args!("take back a failed ADD"))));
        }
        return Err(error.into());
    }
    let mut left: Vec<Forward> = replaced.into_iter().flat_map(|record| record.forwards).collect();
    left.retain(|forward| !record.forwards.contains(forward));
    note_failed(stale::delete_from_before(&record.forwards));
    note_failed(stale::delete_of(&left));
    Ok(previous)
}

/// Checks whether the kernel tracks SCTP if a port needs it. The kernel tells only when the table is there, which loads
/// the module.
fn has_sctp(forwards: &[Forward]) -> linux::Result<()> {
    let is_sctp = |forward: &&Forward| i32::from(forward.protocol) == libc::IPPROTO_SCTP;
    match forwards.iter().find(is_sctp).filter(|_| !tracks_sctp()) {
        None => Ok(()),
        Some(sctp) => {
            let operation = format!("forward {}", sctp.name());
            Err(Error::MissingFeature { operation, feature: Feature::SctpConntrack })
        }
    }
}

/// The ports are forwarded, only clients that were there before may wait for their connections to end.
pub(crate) fn note_failed(outcome: linux::Result<()>) {
    if let Err(error) = outcome {
        cni::note(format_args!("portmap: UDP connections from before may go on: {error}"));
    }
}
