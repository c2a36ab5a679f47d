//! Bridge devices.

use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use nix::errno::Errno;

use crate::error::{Feature, Result};
use crate::link::{IMPOSSIBLE_NAME, Link};
use crate::mac::Mac;
use crate::rtnetlink::Rtnetlink;

impl Rtnetlink {
    /// Creates a bridge, up, with an address of its own. An address that is given at creation counts as
    /// set by the administrator (`NET_ADDR_SET`): the bridge then no longer takes its lowest port's.
    ///
    /// As `ip link add NAME address MAC [mtu N] up type bridge`.
    ///
    /// # Errors
    /// [`Error::MissingFeature`](crate::Error::MissingFeature) without bridges in the kernel; `EEXIST`
    /// when the name is taken, also by another process a moment ago.
    pub fn create_bridge(&mut self, name: &str, mac: Mac, mtu: Option<u32>) -> Result<Link> {
        let mut message = LinkMessage::default();
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        message.attributes.push(LinkAttribute::Address(mac.0.to_vec()));
        message.attributes.extend(mtu.map(LinkAttribute::Mtu));
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
        self.create_link(message, name)
            .map_err(|error| error.or_missing(Feature::Bridge, &[Errno::EOPNOTSUPP]))
    }

    /// Whether the kernel has bridges; nothing is made.
    ///
    /// # Errors
    /// [`Error::MissingFeature`](crate::Error::MissingFeature).
    pub fn probe_bridge(&mut self) -> Result<()> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(IMPOSSIBLE_NAME.to_owned()));
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
        self.probe_kind(message, Feature::Bridge)
    }
}
