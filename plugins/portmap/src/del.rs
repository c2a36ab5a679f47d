//! DEL: give back the ports, found by container and interface alone.

use attachment::Result;
use cni::{Failure, Request, collected};
use nft::Nftables;

use crate::add::note_failed;
use crate::record::{self, Record};
use crate::{holders, reference, stale};

/// Reads nothing of the config: it may have changed since ADD, and a DEL that refuses is a leak.
pub(crate) fn del(request: &Request) -> Result<()> {
    let Some(mut nftables) = open_nftables()? else { return Ok(()) };
    let owner = record::owner(request);
    let failed = |failed: nft::Failed| failed.during(format_args!("give back the ports of {owner}"));
    let found = match Record::find(&mut nftables, owner.digest) {
        Err(failed) if failed.is_missing_subsystem() => return Ok(()),
        found => found.map_err(failed)?,
    };
    let Some(record) = found else {
        let errors = reference::remove(&mut nftables, |left| left.is_of(request));
        return Ok(collected(errors.into_iter().map(attachment::Error::from).map(Failure::from).collect())?);
    };
    holders::give_back(&mut nftables, &record).map_err(failed)?;
    note_failed(stale::delete_of(&record.forwards));
    Ok(())
}

/// Opens nf_tables. A kernel without it has nothing to remove there.
///
/// # Errors
/// When the kernel gives no socket.
pub(crate) fn open_nftables() -> Result<Option<Nftables>> {
    match Nftables::open() {
        Err(linux::Error::MissingFeature { .. }) => Ok(None),
        nftables => Ok(Some(nftables?)),
    }
}
