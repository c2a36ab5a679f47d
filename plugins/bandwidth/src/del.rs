//! DEL: remove the attachment's ifbs, and with them the veth pair if that is weir's too.

use cni::Request;
use linux::{Link, Nftables, Owner, Rtnetlink};

use crate::direction::Direction;
use crate::error::Result;
use crate::subnets::hook;
use crate::{host_end, ifb, record};

/// Reads nothing of the config but the network's name: a limit that cannot be read must not keep a device.
///
/// The kernel takes some 20 ms to delete a link, and hardly more for two at once. The pair is deleted by
/// `bridge`, whose DEL comes next; so it goes with the ifb here, but only when its alias says that weir made
/// it for this very attachment. What another main plugin made is left to that plugin. The masquerade entry goes
/// with the pair, for the same reason: the kernel's grace periods overlap.
pub(crate) fn del(request: &Request) -> Result<()> {
    let mut host = Rtnetlink::open()?;
    let attachment = request.attachment();
    let mut doomed = ifb::all(&mut host, &attachment)?;
    let is_ours = |link: &Link| link.alias.as_deref().is_some_and(|alias| attachment.is_named_by(alias));
    // Without a namespace there is no pair: the kernel has deleted it.
    let pair = host_end::find(request, &mut host).ok();
    if let Some(pair) = pair.as_ref().filter(|pair| !is_ours(pair)) {
        doomed.extend(devices_made_live(&mut host, pair)?);
        release(&mut host, pair, &doomed)?;
    }
    if doomed.is_empty() {
        return Ok(());
    }
    let pair = pair.filter(is_ours);
    // Closing this socket waits for the entry's grace period, so that comes last.
    let _nftables = pair.as_ref().and_then(|_| remove_masquerade(request));
    doomed.extend(pair);
    let mut indices: Vec<u32> = doomed.iter().map(|link| link.index).collect();
    indices.sort_unstable();
    indices.dedup();
    Ok(host.delete_links(&indices)?)
}

/// Leaves another plugin's pair as it was before: its packets must not go to devices that are gone.
fn release(host: &mut Rtnetlink, pair: &Link, doomed: &[Link]) -> Result<()> {
    for direction in [Direction::Ingress, Direction::Egress] {
        let redirects = host.redirects(pair.index, hook(direction))?;
        if redirects.iter().any(|to| *to == 0 || doomed.iter().any(|ifb| ifb.index == *to)) {
            host.delete_rules(pair.index, hook(direction))?;
        }
    }
    if record::is_only_shaped(pair) {
        if host.root_qdisc(pair.index)?.is_some_and(|qdisc| qdisc.tbf.is_some()) {
            host.delete_root_qdisc(pair.index)?;
        }
        host.set_alias(pair.index, "")?;
    }
    Ok(())
}

/// Takes the attachment's masquerade entry away, if it has one. What goes wrong here is no error yet: `bridge`'s
/// DEL removes what is left, and says what it cannot.
fn remove_masquerade(request: &Request) -> Option<Nftables> {
    let mut nftables = Nftables::open().ok()?;
    let owner = Owner {
        network: &request.network,
        container_id: request.container_id(),
        interface: request.interface(),
    };
    nftables.remove_masquerade(&owner).ok()?;
    Some(nftables)
}

/// Those that a live change made without knowing whose pair it was: their names follow from the pair's.
fn devices_made_live(host: &mut Rtnetlink, pair: &Link) -> Result<Vec<Link>> {
    let mut found = Vec::new();
    for direction in [Direction::Ingress, Direction::Egress] {
        let link = host.link_by_name(&ifb::name_by_pair(pair, direction))?;
        found.extend(link.filter(|link| link.is(ifb::KIND)));
    }
    Ok(found)
}
