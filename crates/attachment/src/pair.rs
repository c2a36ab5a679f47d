//! The veth pair of an attachment, which DEL finds from either end.

use cni::Request;
use linux::{Link, Namespace, Rtnetlink};

use crate::error::{Result, of_namespace};
use crate::host_end;
use crate::owner::{Owner, host_end_of};
use crate::reference::Maker;
use crate::silent_pair;

/// One end of the attachment's pair, and a socket of the namespace where it is.
pub(crate) struct Pair {
    rtnetlink: Rtnetlink,
    end: Link,
    side: Side,
    /// The program that made it.
    pub maker: Maker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Host,
    Pod,
}

impl Pair {
    /// Finds the pair by its host's end, or (when the reference made it, or the host's end was renamed) by the pod's
    /// end. With the namespace gone, the kernel has deleted it already.
    ///
    /// The namespace at `CNI_NETNS` may be another container's by now, and its interface of that name another
    /// network's: a pair that is found by the pod's end must be known to be this attachment's.
    pub fn find(request: &Request) -> Result<Option<Self>> {
        let mut host = Rtnetlink::open()?;
        let attachment = request.attachment();
        if let Some(end) = host_end::find(&mut host, &attachment)? {
            return Ok(Some(Self { rtnetlink: host, end, side: Side::Host, maker: Maker::Weir }));
        }
        let Some(netns) = request.netns() else { return Ok(None) };
        let found = Namespace::open_if_alive(netns).map_err(of_namespace)?;
        let Some((namespace, mut pod)) = found else { return Ok(None) };
        let end = pod.link_by_name(request.interface())?.filter(|link| link.is("veth"));
        let Some(end) = end else { return Ok(None) };
        let found = host_end_of(&mut host, &end, &namespace, &attachment)?;
        let host_end = found.as_ref().map(|(link, _)| link);
        let maker = match &found {
            Some((_, Owner::This)) => Maker::Weir,
            Some((_, Owner::ThisShaped)) => Maker::Another,
            Some((_, Owner::Other(owner))) => {
                note_left(request, netns, &format!("the host's end says that it belongs to {owner}"));
                return Ok(None);
            }
            // It is another attachment's, and unfinished; this one's would have been found by its name.
            Some((link, _)) if link.is_unfinished() => return Ok(None),
            _ if silent_pair::is_ours(request, &mut pod, &end, host_end)? => Maker::Another,
            _ => {
                let reason = "neither prevResult nor a reservation says that it is this container's";
                note_left(request, netns, reason);
                return Ok(None);
            }
        };
        Ok(Some(Self { rtnetlink: pod, end, side: Side::Pod, maker }))
    }

    /// Returns the name of the host's end, where the pair was found by it.
    pub fn host_name(&self) -> Option<&str> {
        (self.side == Side::Host).then_some(&self.end.name)
    }

    /// Removes the addresses from the pod's end, so that the IPAM plugin can release them while the interface is still
    /// there. Returns whether they are removed: not when the namespace at `CNI_NETNS` is gone or another one.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn take_addresses(&mut self, request: &Request) -> Result<bool> {
        if self.side == Side::Pod {
            return take_addresses(&mut self.rtnetlink, self.end.index).map(|()| true);
        }
        let Some(netns) = request.netns() else { return Ok(false) };
        let found = Namespace::open_if_alive(netns).map_err(of_namespace)?;
        let Some((namespace, mut pod)) = found else { return Ok(false) };
        if self.end.peer_namespace != Some(self.rtnetlink.number_of(&namespace)?) {
            return Ok(false);
        }
        let index = self.end.peer.unwrap_or_default();
        let is_the_end = pod.link_by_index(index)?.is_some_and(|link| link.peer == Some(self.end.index));
        if is_the_end {
            take_addresses(&mut pod, index)?;
        }
        Ok(is_the_end)
    }

    /// Deletes the pair, also where the kernel's answer was lost.
    ///
    /// # Errors
    /// The kernel's refusal: the pair may still be there.
    pub fn delete(&mut self) -> Result<()> {
        delete(&mut self.rtnetlink, self.end.index)
    }
}

/// Deletes a link. It succeeds when the link is gone, whatever the kernel answered.
pub(crate) fn delete(rtnetlink: &mut Rtnetlink, index: u32) -> Result<()> {
    match rtnetlink.delete_link(index) {
        Err(_) if matches!(rtnetlink.link_by_index(index), Ok(None)) => Ok(()),
        outcome => Ok(outcome?),
    }
}

/// Removes all addresses from a link but the link-local ones, which no IPAM plugin assigns.
pub(crate) fn take_addresses(pod: &mut Rtnetlink, index: u32) -> Result<()> {
    let is_assigned = |address: &std::net::IpAddr| match address {
        std::net::IpAddr::V4(_) => true,
        std::net::IpAddr::V6(address) => !address.is_unicast_link_local(),
    };
    for address in pod.addresses(index)? {
        if is_assigned(&address.network.ip()) {
            pod.delete_address(index, address.network)?;
        }
    }
    Ok(())
}

fn note_left(request: &Request, netns: &str, reason: &str) {
    cni::note(format_args!(
        "{}: DEL of container {} leaves interface {:?} in {netns} alone: {reason}",
        request.plugin(),
        request.container_id(),
        request.interface(),
    ));
}
