//! DEL: remove what there is of the attachment, in an order that lets the kernel's waits overlap.

use cni::Request;
use linux::{Namespace, Nftables, Rtnetlink};

use crate::add::owner;
use crate::config::{Asked, ipam_of};
use crate::error::{Error, Result};
use crate::host_end;
use crate::reference::{self, Maker};
use crate::spoof_check;

/// What weir made is found without `prevResult`, and without the config but for the IPAM plugin's name: it may
/// have changed since ADD, and a DEL that refuses is a leak. That goes for the spoof check, too: what is left of it
/// would drop what the container sends when it is attached again.
///
/// The masquerade entry goes first. The kernel frees it after a grace period, for which closing the
/// socket waits; deleting the device waits for grace periods of its own, so the socket stays open until
/// that is over. Frames are checked until the device is gone. The addresses are released last, when nobody uses
/// them any more.
pub(crate) fn del(request: &Request) -> Result<()> {
    let mut errors = Vec::new();
    let mut nftables = open_nftables().unwrap_or_else(|error| keep(&mut errors, error));
    let masqueraded =
        nftables.as_mut().is_some_and(|nftables| match nftables.remove_masquerade(&owner(request)) {
            Ok(found) => found,
            Err(error) => keep(&mut errors, error.into()),
        });
    let pair = find_pair(request).unwrap_or_else(|error| keep(&mut errors, error));
    let maker = match &pair {
        _ if masqueraded => Maker::Weir,
        Some(pair) => pair.maker,
        None => Maker::by_result(request),
    };
    let host_name = pair.as_ref().and_then(|pair| pair.host_name.clone());
    if let Some(mut pair) = pair {
        errors.extend(pair.rtnetlink.delete_link(pair.end).err().map(Error::from));
    }
    let asked = Asked::of(request);
    if let Some(nftables) = nftables.as_mut() {
        errors.extend(spoof_check::end(nftables, request, host_name.as_deref()).err());
    }
    errors.extend(reference::remove(nftables.as_mut(), request, maker, asked));
    drop(nftables);
    let delegated = ipam_of(request).and_then(|ipam| match ipam {
        Some(ipam) => Ok(request.delegate(&ipam)?.del()?),
        None => Ok(()),
    });
    errors.extend(delegated.err());
    if errors.is_empty() { Ok(()) } else { Err(Error::Several(errors)) }
}

/// Keeps the error for the end and goes on with nothing.
fn keep<T: Default>(errors: &mut Vec<Error>, error: Error) -> T {
    errors.push(error);
    T::default()
}

/// A kernel without nf_tables has nothing to remove there.
fn open_nftables() -> Result<Option<Nftables>> {
    match Nftables::open() {
        Err(linux::Error::MissingFeature { .. }) => Ok(None),
        nftables => Ok(Some(nftables?)),
    }
}

/// One end of the attachment's pair, and a socket of the namespace where it is.
struct Pair {
    rtnetlink: Rtnetlink,
    end: u32,
    /// Name of the host's end, where it was found by that.
    host_name: Option<String>,
    maker: Maker,
}

/// Finds the pair by its host's end, or (when the reference made it, or the host's end was renamed) by the
/// pod's end. With the namespace gone, the kernel has deleted it already.
fn find_pair(request: &Request) -> Result<Option<Pair>> {
    let mut host = Rtnetlink::open()?;
    if let Some(link) = host_end::find(&mut host, &request.attachment())? {
        let (end, host_name) = (link.index, Some(link.name));
        return Ok(Some(Pair { rtnetlink: host, end, host_name, maker: Maker::Weir }));
    }
    let Some(netns) = request.netns() else { return Ok(None) };
    let Some(mut pod) = Namespace::rtnetlink_if_alive(netns).map_err(Error::of_namespace)? else {
        return Ok(None);
    };
    let link = pod.link_by_name(request.interface())?.filter(|link| link.is("veth"));
    Ok(link.map(|link| Pair { rtnetlink: pod, end: link.index, host_name: None, maker: Maker::Another }))
}
