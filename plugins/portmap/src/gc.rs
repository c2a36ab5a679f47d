//! GC: give back the ports of attachments that are gone.

use std::collections::HashSet;

use attachment::{Result, is_claimant_in};
use cni::{Failure, Request, collected};
use nft::{Digest, Nftables};

use crate::add::note_failed;
use crate::del::open_nftables;
use crate::record::{self, Record};
use crate::{holders, reference, stale};

/// Ports go when their attachment is one of this network's that is not valid, and its namespace or interface is gone:
/// the list cannot name an ADD that is at work.
pub(crate) fn gc(request: &Request) -> Result<()> {
    let Some(valid) = request.valid_attachments()? else { return Ok(()) };
    let Some(mut nftables) = open_nftables()? else { return Ok(()) };
    let failed = |failed: nft::Failed| failed.during(format_args!("list the forwarded ports"));
    let records = Record::list(&mut nftables).map_err(failed)?;
    let listed: HashSet<Digest> =
        valid.iter().map(|valid| record::digest(&valid.container_id, &valid.interface)).collect();
    let is_stale = |record: &&Record| {
        is_claimant_in(&record.owner, &request.network) && !listed.contains(&record.owner.digest)
    };
    let mut errors: Vec<attachment::Error> = Vec::new();
    for record in records.iter().filter(is_stale) {
        errors.extend(collect(&mut nftables, record).err().map(attachment::Error::from));
    }
    let is_valid = |id: &str| valid.iter().any(|valid| valid.container_id == id);
    let left = reference::remove(&mut nftables, |left| {
        left.network == Some(&request.network) && !is_valid(left.container_id)
    });
    errors.extend(left.into_iter().map(attachment::Error::from));
    Ok(collected(errors.into_iter().map(Failure::from).collect())?)
}

fn collect(nftables: &mut Nftables, listed: &Record) -> linux::Result<()> {
    if listed.is_alive()? {
        return Ok(());
    }
    let failed = |failed: nft::Failed| failed.during(format_args!("give back the ports of {}", listed.owner));
    // Listed without its ports. An ADD that came since has another namespace.
    let Some(record) = Record::find(nftables, listed.owner.digest).map_err(failed)? else { return Ok(()) };
    if record.is_alive()? {
        return Ok(());
    }
    holders::give_back(nftables, &record).map_err(failed)?;
    note_failed(stale::delete_of(&record.forwards));
    Ok(())
}
