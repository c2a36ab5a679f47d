//! Bridge devices.

use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use nix::errno::Errno;

use crate::bridge_vlan::filtering_on;
use crate::error::{Feature, Result};
use crate::link::{IMPOSSIBLE_NAME, Link};
use crate::mac::Mac;
use crate::rtnetlink::Rtnetlink;

impl Rtnetlink {
    /// Creates a bridge, up, with an address of its own. An address that is given at creation counts as
    /// set by the administrator (`NET_ADDR_SET`): the bridge then no longer takes its lowest port's.
    ///
    /// With `vlan_filtering`, a frame passes only between ports that carry its VLAN.
    ///
    /// As `ip link add NAME address MAC [mtu N] up type bridge [vlan_filtering 1]`.
    ///
    /// # Errors
    /// [`Error::MissingFeature`](crate::Error::MissingFeature) without bridges, or without their VLANs, in
    /// the kernel; `EEXIST` when the name is taken, also by another process a moment ago.
    pub fn create_bridge(
        &mut self,
        name: &str,
        mac: Mac,
        mtu: Option<u32>,
        vlan_filtering: bool,
    ) -> Result<Link> {
        let outcome = self.create_link(bridge_message(name, mac, mtu, vlan_filtering), name);
        outcome.map_err(|error| {
            // The kernel refuses an unknown kind of link and an unknown setting of a bridge alike.
            let lacks_vlans = vlan_filtering && self.probe_bridge().is_ok();
            let feature = if lacks_vlans { Feature::BridgeVlanFiltering } else { Feature::Bridge };
            error.or_missing(feature, &[Errno::EOPNOTSUPP])
        })
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

pub(crate) fn bridge_message(name: &str, mac: Mac, mtu: Option<u32>, vlan_filtering: bool) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message.attributes.push(LinkAttribute::Address(mac.0.to_vec()));
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message.attributes.extend(mtu.map(LinkAttribute::Mtu));
    let mut info = vec![LinkInfo::Kind(InfoKind::Bridge)];
    if vlan_filtering {
        info.push(filtering_on());
    }
    message.attributes.push(LinkAttribute::LinkInfo(info));
    message
}
