//! Peers of links, seen from the socket's namespace.
//!
//! The kernel numbers the namespaces that a namespace's links lead to, and answers requests about them
//! (`IFLA_TARGET_NETNSID` and `IFA_TARGET_NETNSID`, Linux 4.20), so that they need not be found, opened or entered.
//! It requires `CAP_NET_ADMIN` in the other namespace.

use std::os::fd::AsRawFd;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use nix::errno::Errno;
use nix::libc::RTM_NEWNSID;

use crate::address::LinkAddress;
use crate::constants::{NETNSA_NSID, RTGENMSG_LEN};
use crate::error::{Error, Result};
use crate::link::Link;
use crate::link_change::link_message;
use crate::namespace::Namespace;
use crate::netlink::attributes;
use crate::rtnetlink::Rtnetlink;

/// The number of a namespace in another one (`ip netns list-id`). It means nothing in a third one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NamespaceNumber(i32);

impl NamespaceNumber {
    /// A namespace without a number (`NETNSA_NSID_NOT_ASSIGNED`).
    pub const NONE: Self = Self(-1);

    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        value.first_chunk().copied().map(i32::from_ne_bytes).map(Self)
    }
}

impl Rtnetlink {
    /// Returns the peer of `end`, in whatever namespace; none when it is gone, or its namespace is being removed. As
    /// `ip link show` in its namespace.
    ///
    /// # Errors
    /// The kernel's refusal; `EACCES` without `CAP_NET_ADMIN` in that namespace.
    pub fn peer(&mut self, end: &Link) -> Result<Option<Link>> {
        let Some(index) = end.peer.filter(|_| end.peer_namespace != Some(NamespaceNumber::NONE)) else {
            return Ok(None);
        };
        let mut message = link_message(index);
        message.attributes.extend(end.peer_namespace.map(|number| LinkAttribute::IfNetnsId(number.0)));
        match self.get_link(message, format_args!("at the other end of {}", end.name)) {
            Ok(other) => Ok(other.filter(|other| other.peer == Some(end.index))),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the link of this socket's namespace whose peer is `end`, a link of `namespace`; none when the peer is
    /// in a third namespace, or gone. An interface index is unique only in its namespace, so both are compared.
    ///
    /// The socket's namespace must be the calling thread's. As `ip -details link show`, where `@ifN` and `link-netnsid`
    /// are of that link.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn local_peer(&mut self, end: &Link, namespace: &Namespace) -> Result<Option<Link>> {
        let Some(index) = end.peer else { return Ok(None) };
        let candidate = self.link_by_index(index)?.filter(|link| link.peer == Some(end.index));
        let Some(candidate) = candidate else { return Ok(None) };
        // The kernel assigns the number at the latest when it shows a link that leads there.
        let leads_there = match candidate.peer_namespace {
            Some(number) => number != NamespaceNumber::NONE && number == self.number_of(namespace)?,
            // Both ends are in this namespace, unless `end` has its peer in another one.
            None => end.peer_namespace.is_none() && namespace.is_current()?,
        };
        Ok(leads_there.then_some(candidate))
    }

    /// Looks up a link by its name in another namespace, without entering it where possible. As `ip link show dev
    /// NAME` there.
    ///
    /// # Errors
    /// As [`Namespace::rtnetlink`] and [`Rtnetlink::link_by_name`].
    pub fn link_by_name_in(&mut self, namespace: &Namespace, name: &str) -> Result<Option<Link>> {
        if let Ok(number) = self.number_of(namespace)
            && number != NamespaceNumber::NONE
        {
            let mut message = LinkMessage::default();
            message.attributes.push(LinkAttribute::IfName(name.to_owned()));
            message.attributes.push(LinkAttribute::IfNetnsId(number.0));
            if let Ok(found) = self.get_link(message, name) {
                return Ok(found);
            }
        }
        // Without a number, or without the permission to use it, the answer or its error is found inside.
        namespace.rtnetlink()?.link_by_name(name)
    }

    /// Returns the addresses of the peer of `end`; none when it is gone. As `ip address show` in its namespace.
    ///
    /// # Errors
    /// As [`Rtnetlink::peer`].
    pub fn peer_addresses(&mut self, end: &Link) -> Result<Vec<LinkAddress>> {
        let Some(index) = end.peer else { return Ok(Vec::new()) };
        let mut message = AddressMessage::default();
        message.attributes.extend(end.peer_namespace.map(|number| AddressAttribute::TargetNetNsId(number.0)));
        match self.list_addresses(index, message) {
            Err(error) if is_gone(&error) => Ok(Vec::new()),
            listed => listed,
        }
    }

    /// Returns the number of `namespace` in the socket's namespace; [`NamespaceNumber::NONE`] when no link leads
    /// there. As `ip netns list-id`.
    ///
    /// # Errors
    /// The kernel's refusal; `EINVAL` when it is not a network namespace.
    pub fn number_of(&mut self, namespace: &Namespace) -> Result<NamespaceNumber> {
        if let Some((port, number)) = namespace.number.get()
            && port == self.port
        {
            return Ok(number);
        }
        let operation = format!("look up the number of network namespace {}", namespace.path().display());
        let number =
            self.namespace_number(NsidAttribute::Fd(namespace.as_raw_fd().cast_unsigned()), &operation)?;
        // It may get one later, and keeps it then.
        if number != NamespaceNumber::NONE {
            namespace.number.set(Some((self.port, number)));
        }
        Ok(number)
    }

    pub(crate) fn namespace_number(
        &mut self,
        namespace: NsidAttribute,
        operation: &str,
    ) -> Result<NamespaceNumber> {
        let mut message = NsidMessage::default();
        message.attributes.push(namespace);
        let mut number = None;
        let outcome = self.ask(RouteNetlinkMessage::GetNsId(message), |reply| {
            if reply.kind == RTM_NEWNSID {
                number = attributes(reply.payload, RTGENMSG_LEN)
                    .find(|attribute| attribute.kind() == NETNSA_NSID)
                    .and_then(|attribute| NamespaceNumber::parse(attribute.value()));
            }
        });
        outcome.map_err(|failure| failure.during(format_args!("{operation}")))?;
        number.ok_or_else(|| Error::incomplete(operation, "the number"))
    }
}

/// Returns whether the link (`ENODEV`) or its namespace (`EINVAL`) is gone.
fn is_gone(error: &Error) -> bool {
    matches!(error.errno(), Some(Errno::ENODEV | Errno::EINVAL))
}

#[cfg(test)]
mod tests {
    use nix::sched::{CloneFlags, unshare};

    use super::*;
    use crate::testing::veth;
    use crate::{DuplicateDetection, Mac, NewLink, NewLinkKind, VethPeer};

    /// A namespace of the calling thread's own, and another.
    fn two_namespaces() -> (Rtnetlink, Namespace) {
        let fresh = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            Namespace::open("/proc/thread-self/ns/net").unwrap()
        };
        let other = std::thread::spawn(fresh).join().unwrap();
        fresh();
        (Rtnetlink::open().unwrap(), other)
    }

    #[test]
    fn the_other_end_and_its_addresses_are_seen_from_here_until_it_is_gone() {
        let (mut host, pod) = two_namespaces();
        assert_eq!(host.number_of(&pod).unwrap(), NamespaceNumber::NONE);
        let pod_mac = Mac([0x0a, 0x58, 0x0a, 1, 0, 7]);
        let peer = VethPeer { name: "eth0", mac: Some(pod_mac), namespace: Some(&pod) };
        let pair =
            NewLink { mtu: Some(1400), unfinished: true, ..NewLink::new("host0", NewLinkKind::Veth(peer)) };
        let made = host.create(&pair).unwrap().index;
        let end = host.link_by_index(made).unwrap().unwrap();
        let mut inside = pod.rtnetlink().unwrap();
        let address = "10.1.0.7/24".parse().unwrap();
        let index = inside.link_by_name("eth0").unwrap().unwrap().index;
        inside.add_address(index, address, DuplicateDetection::Skip).unwrap();

        assert_eq!(Some(host.number_of(&pod).unwrap()), end.peer_namespace);
        let other = host.peer(&end).unwrap().unwrap();
        assert_eq!((other.name.as_str(), other.mac, other.mtu), ("eth0", Some(pod_mac), 1400));
        let addresses = host.peer_addresses(&end).unwrap();
        assert_eq!(addresses.iter().map(|it| it.network).collect::<Vec<_>>(), [address]);

        assert_eq!(host.link_by_name_in(&pod, "eth0").unwrap(), Some(other));
        assert_eq!(host.link_by_name_in(&pod, "host0").unwrap(), None);

        inside.delete_link(index).unwrap();
        assert_eq!(host.peer(&end).unwrap(), None);
        assert_eq!(host.link_by_name_in(&pod, "eth0").unwrap(), None);
        assert_eq!(host.peer_addresses(&end).unwrap(), []);
    }

    #[test]
    fn a_link_of_the_same_index_that_leads_to_another_namespace_is_not_the_other_end() {
        let (mut host, pod) = two_namespaces();
        let third = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            Namespace::open("/proc/thread-self/ns/net").unwrap()
        });
        let third = third.join().unwrap();
        let end = veth(&mut host, "host0", "eth0", Some(&pod));
        let inside =
            |namespace: &Namespace| namespace.rtnetlink().unwrap().link_by_name("eth0").unwrap().unwrap();
        let in_pod = inside(&pod);
        assert_eq!(host.local_peer(&in_pod, &pod).unwrap().map(|link| link.index), Some(end.index));
        // In a third namespace an interface of the same index says that its peer has the same index, too.
        assert_eq!(host.local_peer(&in_pod, &third).unwrap(), None);
    }

    #[test]
    fn both_ends_may_be_here() {
        let (mut host, _) = two_namespaces();
        let here = Namespace::open("/proc/thread-self/ns/net").unwrap();
        let end = veth(&mut host, "host0", "eth0", Some(&here));
        assert_eq!(end.peer_namespace, None);
        let eth0 = host.link_by_name("eth0").unwrap().unwrap();
        assert_eq!(host.local_peer(&eth0, &here).unwrap().map(|link| link.index), Some(end.index));
        assert_eq!(host.peer(&end).unwrap().map(|other| other.name), Some("eth0".to_owned()));
    }

    #[test]
    fn a_pair_in_one_namespace_is_not_taken_for_one_of_the_same_indices_in_another() {
        let (mut host, pod) = two_namespaces();
        let pair = |rtnetlink: &mut Rtnetlink| veth(rtnetlink, "eth0", "eth1", None);
        let (here, in_pod) = (pair(&mut host), pair(&mut pod.rtnetlink().unwrap()));
        assert_eq!((here.index, here.peer), (in_pod.index, in_pod.peer), "each namespace counts by itself");
        assert_eq!(host.local_peer(&in_pod, &pod).unwrap(), None);
    }
}
