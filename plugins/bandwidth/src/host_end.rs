//! The veth pair of an attachment, created by any main plugin, under any name.
//!
//! It is found from the pod's end, by `CNI_IFNAME` in `CNI_NETNS`. The path may be another container's namespace by
//! the time of a late call, and the interface may have another name: then it is found by the aliases of the host's ends.

use attachment::Owner;
use cni::{Attachment, Request};
use limits::Direction;
use linux::{Link, Mac, Namespace, Rtnetlink};

use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::redirection;

const VETH: &str = "veth";

/// A veth pair between a pod and the host.
pub(crate) struct Pair {
    /// The host's end.
    pub host_end: Link,
    /// The pod's end; none where the pair was found by its host's end.
    pub pod_end: Option<Link>,
}

impl Pair {
    /// The largest MTU at which packets pass in both directions: an end takes no packet that is larger than its own.
    pub fn mtu(&self) -> u32 {
        self.pod_end.as_ref().map_or(self.host_end.mtu, |end| end.mtu.min(self.host_end.mtu))
    }

    /// Whether this cannot be the pair that ADD was called for: its alias does not name the attachment, and prevResult has
    /// another hardware address for the pod's end.
    pub fn contradicts(&self, request: &Request) -> bool {
        let attachment = request.attachment();
        if attachment::named(&self.host_end).is_some_and(|owner| owner.is_same(&attachment)) {
            return false;
        }
        let made = request.prev_result.iter().flat_map(|result| &result.interfaces).find(|made| {
            made.name == attachment.interface && !made.sandbox.is_empty() && !made.mac.is_empty()
        });
        let made = made.and_then(|made| made.mac.parse::<Mac>().ok());
        made.zip(self.pod_end.as_ref()).is_some_and(|(mac, end)| end.mac != Some(mac))
    }
}

/// Looks `CNI_IFNAME` up in `CNI_NETNS` and follows it to its peer in this namespace.
///
/// # Errors
/// [`Error::NoVeth`]; a peer that is not in this namespace, or that belongs to another attachment.
pub(crate) fn find(request: &Request, host: &mut Rtnetlink) -> Result<Pair> {
    let netns = request.netns().unwrap_or_default();
    let interface = request.interface();
    let namespace = Namespace::open(netns).map_err(Error::of_namespace)?;
    let end = host.link_by_name_in(&namespace, interface).map_err(Error::of_namespace)?.ok_or_else(|| {
        Error::NoVeth(format!(
            "no interface {interface} in network namespace {netns}: the plugin before did not make it"
        ))
    })?;
    if !end.is(VETH) {
        let kind = end.kind.as_deref().unwrap_or("physical or loopback");
        return Err(Error::NoVeth(format!(
            "cannot shape {interface} in network namespace {netns}: it is a {kind} device; supported are veth pairs, as \
             bridge, ptp and Calico make them"
        )));
    }
    let (host_end, owner) = attachment::host_end_of(host, &end, &namespace, &request.attachment())?
        .ok_or_else(|| Error::internal(format!(
            "cannot shape {interface} in network namespace {netns}: its peer is not in the host's network namespace"
        )))?;
    match owner {
        Owner::Other(owner) => Err(Error::internal(format!(
            "{interface} in network namespace {netns} belongs to another attachment: the alias of its peer {} is {:?}",
            host_end.name,
            owner.to_string()
        ))),
        _ => Ok(Pair { host_end, pod_end: Some(end) }),
    }
}

/// Finds the host's end by an alias that names the attachment, or by packets that are redirected to one of its `ifbs`. For
/// calls that fail otherwise: this lists all pairs.
pub(crate) fn search(host: &mut Rtnetlink, attachment: &Attachment, ifbs: &[Link]) -> Result<Option<Pair>> {
    let mut silent = Vec::new();
    for host_end in host.links_of_kind(VETH)? {
        match attachment::named(&host_end) {
            Some(owner) if owner.is_same(attachment) => return Ok(Some(Pair { host_end, pod_end: None })),
            Some(_) => {}
            None => silent.push(host_end),
        }
    }
    let mut kernel = Kernel::new(host);
    for host_end in silent.into_iter().filter(|_| !ifbs.is_empty()) {
        for direction in [Direction::Ingress, Direction::Egress] {
            let targets = redirection::targets(&mut kernel, &host_end, direction)?;
            if targets.iter().any(|(to, _)| ifbs.iter().any(|ifb| ifb.index == *to)) {
                return Ok(Some(Pair { host_end, pod_end: None }));
            }
        }
    }
    Ok(None)
}
