//! Intermediate functional blocks: devices that queue what arrived at another link.

use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use nix::errno::Errno;

use crate::error::{Feature, Result};
use crate::link::Link;
use crate::mac::Mac;
use crate::rtnetlink::Rtnetlink;

/// The kernel's driver.
const KIND: &str = "ifb";

/// Packets that may be past the shaper and wait for the device's tasklet. The driver's 32 is one receive
/// burst of a fast link, 0 stops the queue after each packet. What waits here was already let through.
const QUEUE_LENGTH_PACKETS: u32 = 1000;

/// A device to be made.
pub struct Ifb<'a> {
    /// Its name, at most 15 bytes.
    pub name: &'a str,
    /// Its hardware address.
    pub mac: Mac,
    /// Largest packet in bytes: that of the link whose packets it takes.
    pub mtu: u32,
}

impl Rtnetlink {
    /// Creates an ifb with one queue in each direction: with several, each would be shaped by itself. It is down,
    /// so that it can get its filter without a moment in which the kernel stops it, and
    /// [unfinished](Link::is_unfinished) until [`Change::finish`](crate::Change::finish).
    ///
    /// As `ip link add NAME address MAC mtu N txqueuelen 1000 numtxqueues 1 numrxqueues 1 type ifb`.
    ///
    /// # Errors
    /// [`Error::MissingFeature`](crate::Error::MissingFeature) without ifb in the kernel; `EEXIST` when the
    /// name is taken; otherwise the kernel's refusal.
    pub fn create_ifb(&mut self, ifb: &Ifb<'_>) -> Result<Link> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(ifb.name.to_owned()));
        message.attributes.push(LinkAttribute::Address(ifb.mac.0.to_vec()));
        message.attributes.push(LinkAttribute::Mtu(ifb.mtu));
        message.attributes.push(LinkAttribute::TxQueueLen(QUEUE_LENGTH_PACKETS));
        message.attributes.push(LinkAttribute::NumTxQueues(1));
        message.attributes.push(LinkAttribute::NumRxQueues(1));
        message.attributes.push(LinkAttribute::Group(self.port));
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Ifb)]));
        self.create_link(message, ifb.name)
            .map_err(|error| error.or_missing(Feature::Ifb, &[Errno::EOPNOTSUPP]))
    }

    /// Every ifb of the namespace. As `ip link show type ifb`.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn ifbs(&mut self) -> Result<Vec<Link>> {
        self.links_of_kind(KIND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tc::tests::in_a_namespace_of_its_own;

    const MAC: Mac = Mac([0x0a, 0x58, 0x0a, 1, 0, 7]);

    #[test]
    fn an_ifb_is_born_down_with_its_mtu() {
        let (mut rtnetlink, veth) = in_a_namespace_of_its_own();
        assert!(rtnetlink.ifbs().unwrap().is_empty());
        let made = rtnetlink.create_ifb(&Ifb { name: "bwp0", mac: MAC, mtu: 1450 }).unwrap();
        let seen = rtnetlink.link_by_name("bwp0").unwrap().unwrap();
        assert!(!seen.up && seen.is(KIND));
        assert_eq!(seen.mtu, 1450);
        assert_eq!((seen.index, seen.mac, made.mac), (made.index, Some(MAC), Some(MAC)));
        let all = rtnetlink.ifbs().unwrap();
        assert_eq!(all.iter().map(|link| link.index).collect::<Vec<_>>(), [made.index]);
        assert_ne!(veth.index, made.index);
    }

    #[test]
    fn a_name_that_is_taken_is_said_and_nothing_is_changed() {
        let (mut rtnetlink, _) = in_a_namespace_of_its_own();
        let error =
            rtnetlink.create_ifb(&Ifb { name: "host0", mac: MAC, mtu: 1500 }).map(|_| ()).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::EEXIST));
        assert!(rtnetlink.link_by_name("host0").unwrap().unwrap().is("veth"));
    }
}
