//! One attachment as it is now, on both sides.

use std::collections::HashMap;
use std::net::IpAddr;

use bandwidth::Pair;
use cni::Attachment;
use linux::{Link, LinkAddress, Rtnetlink};

use crate::attached::{self, Pods, Target};

use super::error::Error;

/// An attachment with all that the kernel tells.
pub(crate) struct Listed {
    /// The host's end, whose it is, its limits.
    pub pair: Pair,
    /// The bridge that the host's end is a port of.
    pub bridge: Option<String>,
    /// The other end; none when it may not be looked at.
    pub pod_end: Option<PodEnd>,
}

/// The end in the pod's namespace.
pub(crate) struct PodEnd {
    pub link: Link,
    /// With prefix lengths; without the IPv6 link-local ones that the kernel gives to every interface.
    pub addresses: Vec<String>,
}

impl Listed {
    /// The interface in the pod: what it is called now, or else what it was when it was attached.
    pub fn interface(&self) -> Option<&str> {
        let attached = || self.attachment().map(|attachment| attachment.interface.as_str());
        self.pod_end.as_ref().map(|end| end.link.name.as_str()).or_else(attached)
    }

    pub fn attachment(&self) -> Option<&Attachment> {
        self.pair.attachment.as_ref()
    }

    /// Whether weir made the pair: then its alias says so.
    pub fn is_ours(&self) -> bool {
        self.pair.host_end.alias.as_deref().and_then(Attachment::parse).is_some()
    }

    /// By network, pod (or else container) and interface; what belongs to nobody known comes last.
    fn key(&self) -> impl Ord + use<> {
        let whose = self.attachment().map(|attachment| {
            let container = &attachment.container_id;
            (
                attachment.network.clone(),
                attachment.pod.as_ref().unwrap_or(container).clone(),
                container.clone(),
            )
        });
        (whose.is_none(), whose, self.interface().map(str::to_owned), self.pair.host_end.name.clone())
    }
}

/// The attachments of this namespace, or those that the target names, with what could not be looked at.
///
/// # Errors
/// When the host's side cannot be looked at; when the target is nobody.
pub(crate) fn look(
    host: &mut Rtnetlink,
    pods: &Pods,
    target: Option<&Target>,
    network: Option<&str>,
) -> Result<(Vec<Listed>, Vec<linux::Error>), Error> {
    let bridges: HashMap<_, _> =
        host.links_of_kind("bridge")?.into_iter().map(|bridge| (bridge.index, bridge.name)).collect();
    let bridge_of = |pair: &Pair| bridges.get(&pair.host_end.master?).cloned();
    let mut pairs = match target {
        Some(target) => attached::find(host, pods, target)?,
        None => attached::pairs(host, pods)?,
    };
    if target.is_none() {
        // A port of a bridge that leads to another namespace is an attachment, also when nothing tells whose.
        let leads_away = |pair: &Pair| bridge_of(pair).is_some() && pair.host_end.peer_namespace.is_some();
        pairs.retain(|pair| pair.attachment.is_some() || leads_away(pair));
    }
    if let Some(network) = network {
        let is_in = |attachment: &Attachment| attachment.is_in(network);
        pairs.retain(|pair| pair.attachment.as_ref().is_some_and(is_in));
    }
    let (mut listed, mut failures) = (Vec::new(), Vec::new());
    for pair in pairs {
        let pod_end = match pod_end(host, &pair.host_end) {
            Ok(Some(end)) => Some(end),
            // It has gone, and this end goes with it.
            Ok(None) => continue,
            Err(error) => {
                failures.push(error);
                None
            }
        };
        listed.push(Listed { bridge: bridge_of(&pair), pair, pod_end });
    }
    listed.sort_by_cached_key(Listed::key);
    Ok((listed, failures))
}

fn pod_end(host: &mut Rtnetlink, end: &Link) -> linux::Result<Option<PodEnd>> {
    let Some(link) = host.peer(end)? else { return Ok(None) };
    let is_chosen = |address: &LinkAddress| match address.network.ip() {
        IpAddr::V4(_) => true,
        IpAddr::V6(v6) => !v6.is_unicast_link_local(),
    };
    let addresses = host.peer_addresses(end)?;
    let addresses = addresses.iter().filter(|address| is_chosen(address));
    let addresses = addresses.map(|address| address.network.to_string()).collect();
    Ok(Some(PodEnd { link, addresses }))
}
