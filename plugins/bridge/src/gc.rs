//! GC: remove what says of itself that it belongs to this network and to no valid attachment.

use cni::{Attachment, Request, ValidAttachment};
use linux::{Nftables, Rtnetlink};

use crate::config::ipam_of;
use crate::error::{Error, Result};

pub(crate) fn gc(request: &Request) -> Result<()> {
    let mut errors = Vec::new();
    if let Some(valid) = request.valid_attachments()? {
        errors.extend(remove_masquerades(request, &valid).err());
        errors.extend(delete_pairs(request, &valid).err());
    }
    if let Some(ipam) = ipam_of(request) {
        let collected = request.delegate(&ipam).and_then(|ipam| ipam.gc());
        errors.extend(collected.err().map(Error::from));
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::Several(errors)) }
}

fn remove_masquerades(request: &Request, valid: &[ValidAttachment]) -> Result<()> {
    let mut nftables = match Nftables::open() {
        // A kernel without nf_tables has no entry of ours.
        Err(linux::Error::MissingFeature { .. }) => return Ok(()),
        nftables => nftables?,
    };
    for attachment in nftables.attachments()? {
        let is_valid = valid.iter().any(|valid| {
            attachment.is_of(&linux::Owner {
                network: &request.network,
                container_id: &valid.container_id,
                interface: &valid.interface,
            })
        });
        if attachment.is_in(&request.network) && !is_valid {
            nftables.remove_attachment(&attachment)?;
        }
    }
    Ok(())
}

/// The pairs are found by their aliases, whatever bridge they are in: the config may have changed.
fn delete_pairs(request: &Request, valid: &[ValidAttachment]) -> Result<()> {
    let mut host = Rtnetlink::open()?;
    for link in host.links_of_kind("veth")? {
        let Some(alias) = &link.alias else { continue };
        let Some(attachment) = Attachment::parse(alias) else { continue };
        let is_valid = valid.iter().any(|valid| {
            Attachment {
                network: request.network.clone(),
                container_id: valid.container_id.clone(),
                interface: valid.interface.clone(),
                pod: None,
            }
            .is_named_by(alias)
        });
        if attachment.network == request.network && !is_valid {
            host.delete_link(link.index)?;
        }
    }
    Ok(())
}
