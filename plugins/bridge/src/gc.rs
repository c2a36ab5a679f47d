//! GC: remove what says of itself that it belongs to this network and to no valid attachment.

use cni::{Request, ValidAttachment};
use nft::Nftables;

use crate::config::ipam_of;
use crate::error::{Error, Result};
use crate::gc_pairs::{self, Kept};
use crate::reference;

pub(crate) fn gc(request: &Request) -> Result<()> {
    let mut errors = Vec::new();
    let mut kept = Kept::default();
    if let Some(valid) = request.valid_attachments()? {
        // The entries are listed before the pairs: the pair of one that an ADD makes at this moment is seen.
        let entries = Entries::list().unwrap_or_else(|error| {
            errors.push(error);
            None
        });
        // Without a look at the pairs none of the rest may be removed. Frames are checked until their device is gone.
        kept = gc_pairs::delete_stale(request, &valid)?;
        errors.append(&mut kept.errors);
        if let Some(mut entries) = entries.filter(|_| kept.is_complete()) {
            errors.extend(entries.remove_stale(request, &valid, &kept));
        }
    }
    errors.extend(collect_addresses(request, &kept).err());
    if errors.is_empty() { Ok(()) } else { Err(Error::Several(errors)) }
}

/// Hands GC on to the IPAM plugin, for which the kept attachments are valid: their addresses are in use.
fn collect_addresses(request: &Request, kept: &Kept) -> Result<()> {
    if !kept.is_complete() {
        cni::note(format_args!(
            "bridge: GC leaves addresses and nf_tables entries of network {} to the next one: an attachment that stays cannot be named yet",
            request.network,
        ));
        return Ok(());
    }
    let Some(ipam) = ipam_of(request)? else { return Ok(()) };
    let valid: Vec<_> = kept.attachments.iter().filter_map(cni::Attachment::as_valid).collect();
    Ok(request.delegate(&ipam)?.gc(&valid)?)
}

/// The entries of all networks' attachments in nf_tables.
struct Entries {
    nftables: Nftables,
    masqueraded: Vec<nft::Attachment>,
    /// With the ports.
    spoof_checked: Vec<(nft::Attachment, String)>,
}

impl Entries {
    /// None where the kernel has no nf_tables.
    fn list() -> Result<Option<Self>> {
        let mut nftables = match Nftables::open() {
            Err(linux::Error::MissingFeature { .. }) => return Ok(None),
            nftables => nftables?,
        };
        let masqueraded = nftables.attachments()?;
        let spoof_checked = nftables.spoof_checks().map_err(Error::SpoofCheck)?;
        Ok(Some(Self { nftables, masqueraded, spoof_checked }))
    }

    /// Removes those of the network that belong neither to a valid nor to a kept attachment. Returns what could not be
    /// removed.
    fn remove_stale(&mut self, request: &Request, valid: &[ValidAttachment], kept: &Kept) -> Vec<Error> {
        let mut errors = Vec::new();
        let is_stale = |attachment: &nft::Attachment| {
            let is_valid = valid.iter().any(|valid| {
                attachment.is_of(&nft::Owner {
                    network: &request.network,
                    container_id: &valid.container_id,
                    interface: &valid.interface,
                })
            });
            attachment.is_in(&request.network) && !is_valid && !kept.has(attachment)
        };
        for attachment in self.masqueraded.iter().filter(|attachment| is_stale(attachment)) {
            errors.extend(self.nftables.remove_attachment(attachment).err().map(Error::from));
        }
        for (attachment, port) in self.spoof_checked.iter().filter(|(attachment, _)| is_stale(attachment)) {
            let removed = self.nftables.remove_listed_spoof_check(attachment, port);
            errors.extend(removed.err().map(Error::SpoofCheck));
        }
        let mut valid = valid.to_vec();
        valid.extend(kept.attachments.iter().filter_map(cni::Attachment::as_valid));
        errors.extend(
            reference::collect(&mut self.nftables, &request.network, &valid)
                .unwrap_or_else(|error| vec![error]),
        );
        errors
    }
}
