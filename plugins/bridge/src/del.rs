//! DEL: remove what there is of the attachment, in an order that lets the kernel's waits overlap.

use cni::Request;
use linux::{Namespace, Nftables, Rtnetlink};

use crate::add::owner;
use crate::config::ipam_of;
use crate::error::{Error, Result};
use crate::host_end;

/// Nothing here depends on the config but the IPAM plugin's name, and nothing on `prevResult`: the config
/// may have changed since ADD, and a DEL that refuses is a leak.
///
/// The masquerade entry goes first. The kernel frees it after a grace period, for which closing the
/// socket waits; deleting the device waits for grace periods of its own, so the socket stays open until
/// that is over. The addresses are released last, when nobody uses them any more.
pub(crate) fn del(request: &Request) -> Result<()> {
    let mut errors = Vec::new();
    let nftables = match remove_masquerade(request) {
        Ok(nftables) => nftables,
        Err(error) => {
            errors.push(error);
            None
        }
    };
    errors.extend(delete_pair(request).err());
    drop(nftables);
    let delegated = ipam_of(request).and_then(|ipam| match ipam {
        Some(ipam) => Ok(request.delegate(&ipam)?.del()?),
        None => Ok(()),
    });
    errors.extend(delegated.err());
    if errors.is_empty() { Ok(()) } else { Err(Error::Several(errors)) }
}

/// Removes the masquerade entry and hands back the socket, to be closed late.
fn remove_masquerade(request: &Request) -> Result<Option<Nftables>> {
    let mut nftables = match Nftables::open() {
        // A kernel without nf_tables has no entry of ours.
        Err(linux::Error::MissingFeature { .. }) => return Ok(None),
        nftables => nftables?,
    };
    nftables.remove_masquerade(&owner(request))?;
    Ok(Some(nftables))
}

/// Deletes the pair by its host's end, or (when the reference made it, or the host's end was renamed) by
/// the pod's end. With the namespace gone, the kernel has deleted it already.
fn delete_pair(request: &Request) -> Result<()> {
    let mut host = Rtnetlink::open()?;
    if let Some(link) = host_end::find(&mut host, &request.attachment())? {
        return Ok(host.delete_link(link.index)?);
    }
    let Some(netns) = request.netns() else { return Ok(()) };
    let Some(mut pod) = Namespace::rtnetlink_if_alive(netns).map_err(Error::Namespace)? else {
        return Ok(());
    };
    match pod.link_by_name(request.interface())? {
        Some(link) if link.is("veth") => Ok(pod.delete_link(link.index)?),
        _ => Ok(()),
    }
}
