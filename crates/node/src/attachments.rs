//! The attachments of this node as they are now, at both ends.

use std::collections::HashMap;
use std::net::IpAddr;

use bandwidth::Pair;
use cni::Attachment;
use ipnetwork::IpNetwork;
use linux::{Link, Rtnetlink};

use crate::error::Result;
use crate::node::Node;
use crate::target::Target;

/// The outcome of [`Node::attachments`].
pub struct Attachments {
    /// By network, pod (or else container) and interface; those without a known attachment come last.
    pub attachments: Vec<AttachmentState>,
    /// The pods' ends that could not be looked at.
    pub failures: Vec<linux::Error>,
}

/// An attachment with what the kernel shows of it.
pub struct AttachmentState {
    /// The host's end, the attachment that it belongs to, its limits.
    pub pair: Pair,
    /// The bridge that the host's end is a port of.
    pub bridge: Option<String>,
    /// The other end; none when it could not be looked at.
    pub pod_end: Option<PodEnd>,
}

/// The end in the pod's namespace.
pub struct PodEnd {
    /// The interface: name, hardware address, MTU.
    pub link: Link,
    /// Its addresses, without IPv6 link-local ones, which the kernel gives to every interface.
    pub addresses: Vec<IpNetwork>,
}

impl AttachmentState {
    /// Returns the name of the interface in the pod: its present one, or else that of ADD.
    pub fn interface(&self) -> Option<&str> {
        let attached = || self.attachment().map(|attachment| attachment.interface.as_str());
        self.pod_end.as_ref().map(|end| end.link.name.as_str()).or_else(attached)
    }

    /// Returns the attachment, where an alias or a cached result names it.
    pub fn attachment(&self) -> Option<&Attachment> {
        self.pair.attachment.as_ref()
    }

    /// Tells whether weir made the pair: then its alias says so.
    pub fn is_ours(&self) -> bool {
        attachment::created_for(&self.pair.host_end).is_some()
    }

    fn sort_key(&self) -> impl Ord + use<> {
        let attachment = self.attachment().map(|attachment| {
            let container = &attachment.container_id;
            (
                attachment.network.clone(),
                attachment.pod.as_ref().unwrap_or(container).clone(),
                container.clone(),
            )
        });
        (
            attachment.is_none(),
            attachment,
            self.interface().map(str::to_owned),
            self.pair.host_end.name.clone(),
        )
    }
}

impl Node {
    /// Lists the attachments of this namespace, or those that `target` names; with `network` only that network's. A
    /// port of a bridge with its peer in another namespace is listed without a known attachment too.
    ///
    /// # Errors
    /// When the host's side cannot be looked at; with a target, as [`Node::find`].
    pub fn attachments(&mut self, target: Option<&Target>, network: Option<&str>) -> Result<Attachments> {
        let bridges = self.host.links_of_kind("bridge")?;
        let bridges: HashMap<_, _> = bridges.into_iter().map(|bridge| (bridge.index, bridge.name)).collect();
        let bridge_of = |pair: &Pair| bridges.get(&pair.host_end.master?).cloned();
        let mut pairs = match target {
            Some(target) => self.find(target)?,
            None => self.pairs()?,
        };
        if target.is_none() {
            let leads_away =
                |pair: &Pair| bridge_of(pair).is_some() && pair.host_end.peer_namespace.is_some();
            pairs.retain(|pair| pair.attachment.is_some() || leads_away(pair));
        }
        if let Some(network) = network {
            let is_in = |attachment: &Attachment| attachment.is_in(network);
            pairs.retain(|pair| pair.attachment.as_ref().is_some_and(is_in));
        }
        let (mut attachments, mut failures) = (Vec::new(), Vec::new());
        for pair in pairs {
            let pod_end = match PodEnd::of(&mut self.host, &pair.host_end) {
                Ok(Some(end)) => Some(end),
                // It has gone, and this end goes with it.
                Ok(None) => continue,
                Err(error) => {
                    failures.push(error);
                    None
                }
            };
            attachments.push(AttachmentState { bridge: bridge_of(&pair), pair, pod_end });
        }
        attachments.sort_by_cached_key(AttachmentState::sort_key);
        Ok(Attachments { attachments, failures })
    }
}

impl PodEnd {
    /// Looks at the peer of `host_end`; none when it has gone.
    fn of(host: &mut Rtnetlink, host_end: &Link) -> linux::Result<Option<Self>> {
        let Some(link) = host.peer(host_end)? else { return Ok(None) };
        let is_link_local =
            |network: &IpNetwork| matches!(network.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local());
        let addresses = host.peer_addresses(host_end)?.into_iter().map(|address| address.network);
        let addresses = addresses.filter(|network| !is_link_local(network)).collect();
        Ok(Some(Self { link, addresses }))
    }
}
