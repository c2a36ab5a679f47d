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
    localnet::allow(&record.forwards)?;
    let mut nftables = Nftables::open()?;
    let masqueraded = record.forwards.iter().flat_map(Forward::masqueraded).collect();
    let needs = Needs { masqueraded, conditional: settings.conditional().collect() };
    let replaced = holders::take(&mut nftables, &record, &needs)?;
    // The kernel tells only when the table is there, which loads the module.
    let is_sctp = |forward: &&Forward| i32::from(forward.protocol) == libc::IPPROTO_SCTP;
    if let Some(sctp) = record.forwards.iter().find(is_sctp).filter(|_| !tracks_sctp()) {
        let operation = format!("forward {}", sctp.name());
        if let Err(failed) = holders::give_back(&mut nftables, &record) {
            cni::note(format_args!("portmap: {}", failed.during(format_args!("take back a failed ADD"))));
        }
        return Err(Error::MissingFeature { operation, feature: Feature::SctpConntrack }.into());
    }
    let mut left: Vec<Forward> = replaced.into_iter().flat_map(|record| record.forwards).collect();
    left.retain(|forward| !record.forwards.contains(forward));
    note_failed(stale::delete_from_before(&record.forwards));
    note_failed(stale::delete_of(&left));
    Ok(previous)
}

/// The ports are forwarded, only clients that were there before may wait for their connections to end.
pub(crate) fn note_failed(outcome: linux::Result<()>) {
    if let Err(error) = outcome {
        cni::note(format_args!("portmap: UDP connections from before may go on: {error}"));
    }
}
