//! DEL: removes the attachment's ifbs, and with them the veth pair if weir created it.

use attachment::{Owner, claimant};
use cni::{Request, collected};
use limits::Direction;
use linux::{Link, Rtnetlink};

use crate::error::{Error, Result};
use crate::host_end::{self, Pair};
use crate::ifb;
use crate::kernel::Kernel;
use crate::redirection;
use crate::release::{delete_filter, release};

/// Reads nothing of the config but the network's name: a limit that cannot be read must not keep a device. Goes on after
/// an error; a second DEL finds what is left.
///
/// The kernel takes some 20 ms to delete a link, and hardly more for two at once. The pair is deleted by
/// `bridge`, whose DEL comes next; so it goes with the ifb here, but only when its alias says that weir created
/// it for this very attachment. The pair of another main plugin is left to that plugin. The masquerade entry goes
/// with the pair, for the same reason: the kernel's grace periods overlap.
pub(crate) fn del(request: &Request) -> Result<()> {
    let mut host = Rtnetlink::open()?;
    let attachment = request.attachment();
    let mut errors = Vec::new();
    let mut to_delete = ifb::all(&mut host, &attachment).unwrap_or_else(|error| keep(&mut errors, error));
    let pair = find_pair(request, &mut host, &to_delete).unwrap_or_else(|error| keep(&mut errors, error));
    let mut kernel = Kernel::new(&mut host);
    let is_ours = |link: &Link| Owner::of(link, &attachment) == Owner::This;
    if let Some(pair) = pair.as_ref().filter(|pair| !is_ours(pair)) {
        let made_live = devices_made_live(kernel.host, pair);
        to_delete.extend(made_live.unwrap_or_else(|error| keep(&mut errors, error)));
        errors.extend(release(&mut kernel, pair, &to_delete, Some(&attachment)));
    }
    if !to_delete.is_empty() {
        // Packets must not go to a device that is gone. That chains are freed is waited for when `kernel` goes, last.
        let names = to_delete.iter().filter_map(ifb::host_end).chain(pair.iter().map(|pair| &*pair.name));
        let chains = redirection::chains(&mut kernel, names, &to_delete);
        let pair = pair.as_ref().filter(|pair| is_ours(pair));
        let claimant = pair.map(|_| claimant(request));
        let removed =
            chains.and_then(|chains| redirection::remove_chains(&mut kernel, &chains, claimant.as_ref()));
        if let Err(error) = removed {
            // The devices tell the next DEL the chains' names.
            errors.push(error);
            return collected(errors);
        }
        let mut indices: Vec<u32> = to_delete.iter().chain(pair).map(|link| link.index).collect();
        indices.sort_unstable();
        indices.dedup();
        errors.extend(kernel.host.delete_links(&indices).err().map(Error::from));
    }
    if to_delete.is_empty()
        && let Some(pair) = pair.filter(|pair| is_ours(pair) && had_ifb(request))
    {
        // The device went without its chain. A pod without limits has none.
        errors.extend(redirection::stop(&mut kernel, &pair, Direction::Egress).err());
    }
    collected(errors)
}

/// Whether ADD's result has an ifb.
fn had_ifb(request: &Request) -> bool {
    let names = ifb::names(&request.attachment());
    let made = request.prev_result.iter().flat_map(|result| &result.interfaces);
    made.into_iter().any(|made| names.contains(&made.name))
}

/// Keeps the error for the end and goes on with nothing.
fn keep<T: Default>(errors: &mut Vec<Error>, error: Error) -> T {
    errors.push(error);
    T::default()
}

/// Finds the host's end of the attachment's pair, and never another one's. Without a namespace there is none, for the kernel
/// has deleted it, unless the namespace only lost its path; then an ifb is there.
fn find_pair(request: &Request, host: &mut Rtnetlink, ifbs: &[Link]) -> Result<Option<Link>> {
    match host_end::find(request, host) {
        Ok(pair) if !pair.contradicts(request) => Ok(Some(pair.host_end)),
        Err(Error::Namespace(_)) if ifbs.is_empty() => Ok(None),
        found => match (host_end::search(host, &request.attachment(), ifbs)?, found) {
            (Some(Pair { host_end, .. }), _) => Ok(Some(host_end)),
            // It is unknown whether there is one.
            (None, Err(error @ Error::Kernel(_))) => Err(error),
            (None, _) => Ok(None),
        },
    }
}

/// Removes the limits alone: the pair is of another plugin's ADD, weir's too.
pub(crate) fn undo_add(request: &Request) -> Result<()> {
    let mut host = Rtnetlink::open()?;
    let attachment = request.attachment();
    let mut errors = Vec::new();
    let ifbs = ifb::all(&mut host, &attachment).unwrap_or_else(|error| keep(&mut errors, error));
    let pair = find_pair(request, &mut host, &ifbs).unwrap_or_else(|error| keep(&mut errors, error));
    let mut kernel = Kernel::new(&mut host);
    if let Some(pair) = pair {
        errors.extend(release(&mut kernel, &pair, &ifbs, Some(&attachment)));
        errors.extend(delete_filter(kernel.host, &pair).err());
    }
    if !ifbs.is_empty() {
        let indices: Vec<u32> = ifbs.iter().map(|link| link.index).collect();
        errors.extend(kernel.host.delete_links(&indices).err().map(Error::from));
    }
    collected(errors)
}

/// Finds the devices of a live change that did not know the attachment: they are named after the pair.
fn devices_made_live(host: &mut Rtnetlink, pair: &Link) -> Result<Vec<Link>> {
    let mut found = Vec::new();
    for direction in [Direction::Ingress, Direction::Egress] {
        let link = host.link_by_name(&ifb::name_by_pair(pair, direction))?;
        found.extend(link.filter(|link| link.is(ifb::KIND)));
    }
    Ok(found)
}
