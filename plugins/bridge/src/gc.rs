//! GC: remove what says of itself that it belongs to this network and to no valid attachment.

use cni::{Attachment, Request, ValidAttachment};
use linux::{Nftables, Rtnetlink};

use crate::config::ipam_of;
use crate::error::{Error, Result};
use crate::reference;

pub(crate) fn gc(request: &Request) -> Result<()> {
    let mut errors = Vec::new();
    if let Some(valid) = request.valid_attachments()? {
        // Frames are checked until their device is gone.
        errors.extend(delete_pairs(request, &valid).unwrap_or_else(|error| vec![error]));
        errors.extend(remove_entries(request, &valid).unwrap_or_else(|error| vec![error]));
    }
    let delegated = ipam_of(request).and_then(|ipam| match ipam {
        Some(ipam) => Ok(request.delegate(&ipam)?.gc()?),
        None => Ok(()),
    });
    errors.extend(delegated.err());
    if errors.is_empty() { Ok(()) } else { Err(Error::Several(errors)) }
}

/// Returns what could not be removed.
fn remove_entries(request: &Request, valid: &[ValidAttachment]) -> Result<Vec<Error>> {
    let mut nftables = match Nftables::open() {
        // A kernel without nf_tables has no entry of ours.
        Err(linux::Error::MissingFeature { .. }) => return Ok(Vec::new()),
        nftables => nftables?,
    };
    let mut errors = Vec::new();
    let is_stale = |attachment: &linux::Attachment| {
        let is_valid = valid.iter().any(|valid| {
            attachment.is_of(&linux::Owner {
                network: &request.network,
                container_id: &valid.container_id,
                interface: &valid.interface,
            })
        });
        attachment.is_in(&request.network) && !is_valid
    };
    match nftables.attachments() {
        Ok(attachments) => {
            for attachment in attachments.iter().filter(|attachment| is_stale(attachment)) {
                errors.extend(nftables.remove_attachment(attachment).err().map(Error::from));
            }
        }
        Err(error) => errors.push(error.into()),
    }
    match nftables.spoof_checks() {
        Ok(checks) => {
            for (attachment, port) in checks.iter().filter(|(attachment, _)| is_stale(attachment)) {
                let removed = nftables.remove_listed_spoof_check(attachment, port);
                errors.extend(removed.err().map(Error::SpoofCheck));
            }
        }
        Err(error) => errors.push(Error::SpoofCheck(error)),
    }
    errors.extend(
        reference::collect(&mut nftables, &request.network, valid).unwrap_or_else(|error| vec![error]),
    );
    Ok(errors)
}

/// The pairs are found by their aliases, whatever bridge they are in: the config may have changed. Returns
/// what could not be removed.
fn delete_pairs(request: &Request, valid: &[ValidAttachment]) -> Result<Vec<Error>> {
    let mut host = Rtnetlink::open()?;
    let mut errors = Vec::new();
    for link in host.links_of_kind("veth")? {
        let Some(alias) = &link.alias else { continue };
        let Some(attachment) = Attachment::parse(alias) else { continue };
        if attachment.is_in(&request.network) && !attachment.is_listed(&request.network, valid) {
            errors.extend(host.delete_link(link.index).err().map(Error::from));
        }
    }
    Ok(errors)
}
