//! GC: remove the ifbs of attachments that are not valid any more.

use std::collections::HashSet;

use cni::{Attachment, Request, ValidAttachment};
use linux::{Hook, Link, Rtnetlink};

use crate::error::{Error, Result};
use crate::{ifb, record};

/// Goes by the aliases, which tell network, container and interface. A device without one, as the reference
/// makes them, has a name that does not tell the network: it goes when no attachment that is valid here would
/// have it, no pair sends packets to it, and one did before: an ADD that is at work has not come so far.
pub(crate) fn gc(request: &Request) -> Result<()> {
    let Some(valid) = request.valid_attachments()? else { return Ok(()) };
    let mut host = Rtnetlink::open()?;
    let (named, nameless): (Vec<_>, Vec<_>) =
        host.ifbs()?.into_iter().partition(|ifb| record::attachment(ifb).is_some());
    let mut doomed: Vec<Link> =
        named.into_iter().filter(|ifb| is_stale(ifb.alias.as_deref(), &request.network, &valid)).collect();
    let mut orphans: Vec<Link> =
        nameless.into_iter().filter(|ifb| may_be_stale(ifb, &request.network, &valid)).collect();
    if !orphans.is_empty() {
        let used = used(&mut host)?;
        orphans.retain(|ifb| !used.contains(&ifb.index));
    }
    for orphan in orphans {
        if had_a_pair(&mut host, &orphan)? {
            doomed.push(orphan);
        }
    }
    let mut failures = Vec::new();
    for ifb in doomed {
        failures.extend(host.delete_link(ifb.index).err());
    }
    if failures.is_empty() { Ok(()) } else { Err(Error::Remains(failures)) }
}

fn is_stale(alias: Option<&str>, network: &str, valid: &[ValidAttachment]) -> bool {
    alias
        .and_then(Attachment::parse)
        .is_some_and(|owner| owner.is_in(network) && !owner.is_listed(network, valid))
}

/// Whether a device without an alias is named as the reference names them, and not after a valid attachment.
fn may_be_stale(ifb: &Link, network: &str, valid: &[ValidAttachment]) -> bool {
    let is_free = ifb.alias.as_deref().is_none_or(str::is_empty) || record::is_only_shaped(ifb);
    is_free
        && ifb::is_a_name(&ifb.name)
        && !valid.iter().any(|valid| {
            let attachment = valid.in_network(network);
            ifb::names(&attachment).contains(&ifb.name)
        })
}

/// Whether a pair sent packets to the device once. The reference gives it its filter only after that; ours has
/// one before, and shows it by what has passed.
fn had_a_pair(host: &mut Rtnetlink, ifb: &Link) -> Result<bool> {
    let Some(qdisc) = host.root_qdisc(ifb.index)? else { return Ok(false) };
    Ok(qdisc.tbf.is_some() && (!qdisc.tells_ethernet || qdisc.statistics.packets > 0))
}

/// The devices that a veth pair's filters send packets to.
fn used(host: &mut Rtnetlink) -> Result<HashSet<u32>> {
    let mut used = HashSet::new();
    for veth in host.links_of_kind("veth")? {
        for hook in [Hook::Ingress, Hook::Egress] {
            used.extend(host.redirects(veth.index, hook)?);
        }
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_devices_of_this_network_whose_attachment_is_gone_are_stale() {
        let valid = [ValidAttachment { container_id: "c1".into(), interface: "eth0".into() }];
        let stale = |alias| is_stale(alias, "cbr0", &valid);
        assert!(stale(Some("weir container=c2 interface=eth0 network=cbr0 pod=shop/web-0")));
        assert!(stale(Some("weir container=c1 interface=eth1 network=cbr0")));
        assert!(!stale(Some("weir container=c1 interface=eth0 network=cbr0")));
        assert!(!stale(Some("weir container=c2 interface=eth0 network=other")));
        assert!(!stale(Some("somebody else's")));
        assert!(!stale(None));
    }
}
