//! VLANs of a bridge: whether it filters by them, and which of them a port carries.

use std::ops::RangeInclusive;

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL};
use netlink_packet_route::link::{
    AfSpecBridge, BridgeVlanInfo, BridgeVlanInfoFlags, InfoBridge, InfoData, InfoKind, LinkAttribute,
    LinkInfo, LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use crate::change::Change;
use crate::constants::{
    BR_VLAN_MSG_LEN, BRIDGE_VLANDB_ENTRY, BRIDGE_VLANDB_ENTRY_INFO, BRIDGE_VLANDB_ENTRY_RANGE,
    IFLA_BR_VLAN_DEFAULT_PVID, IFLA_BR_VLAN_FILTERING, IFLA_BR_VLAN_PROTOCOL, RTM_GETVLAN, RTM_NEWVLAN,
};
use crate::error::Result;
use crate::feature::Feature;
use crate::link_change::link_message;
use crate::netlink::{Reply, attributes};
use crate::new_link::IMPOSSIBLE_NAME;
use crate::rtnetlink::Rtnetlink;

/// VLAN settings of a bridge, as [`Link`](crate::Link) has them (`ip -details link show dev NAME`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BridgeVlans {
    /// A frame passes only between ports that carry its VLAN (`vlan_filtering`).
    pub filtering: bool,
    /// The VLAN that every new port carries untagged (`vlan_default_pvid`, by default 1); none when it is switched
    /// off, or when the kernel has no bridge VLANs.
    pub default: Option<u16>,
}

impl BridgeVlans {
    pub(crate) fn parse(info_data: &[u8]) -> Self {
        let mut vlans = Self::default();
        for attribute in attributes(info_data, 0) {
            let value = attribute.value();
            match attribute.kind() {
                IFLA_BR_VLAN_FILTERING => vlans.filtering = value.first().is_some_and(|on| *on != 0),
                IFLA_BR_VLAN_DEFAULT_PVID => vlans.default = read_u16(value).filter(|vid| *vid != 0),
                _ => {}
            }
        }
        vlans
    }
}

/// A range of VLANs (1 to 4094, inclusive) that a port carries in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortVlans {
    /// Their numbers.
    pub vids: RangeInclusive<u16>,
    /// Frames that arrive without a tag belong to it (`pvid`); only for a single VLAN.
    pub pvid: bool,
    /// Its frames leave without a tag (`untagged`).
    pub untagged: bool,
}

impl PortVlans {
    /// Returns the VLAN of all frames without a tag.
    pub fn native(vid: u16) -> Self {
        Self { vids: vid..=vid, pvid: true, untagged: true }
    }

    /// Returns VLANs of tagged frames.
    pub fn tagged(vids: RangeInclusive<u16>) -> Self {
        Self { vids, pvid: false, untagged: false }
    }

    /// Returns `IFLA_BRIDGE_VLAN_INFO` attributes: one for a single VLAN, two for a range.
    fn infos(&self) -> impl Iterator<Item = AfSpecBridge> {
        let mut flags = BridgeVlanInfoFlags::empty();
        flags.set(BridgeVlanInfoFlags::Pvid, self.pvid);
        flags.set(BridgeVlanInfoFlags::Untagged, self.untagged);
        let (first, last) = (*self.vids.start(), *self.vids.end());
        let (begin, end) = match first < last {
            true => (BridgeVlanInfoFlags::RangeBegin, Some(BridgeVlanInfoFlags::RangeEnd)),
            false => (BridgeVlanInfoFlags::empty(), None),
        };
        let info = move |bound, vid| AfSpecBridge::VlanInfo(BridgeVlanInfo { flags: flags | bound, vid });
        std::iter::once(info(begin, first)).chain(end.map(|end| info(end, last)))
    }

    /// Reads an answer to `RTM_GETVLAN`: an entry for each range that the port carries in one way.
    fn parse(reply: &Reply<'_>) -> Vec<Self> {
        if reply.kind != RTM_NEWVLAN {
            return Vec::new();
        }
        attributes(reply.payload, BR_VLAN_MSG_LEN)
            .filter(|attribute| attribute.kind() == BRIDGE_VLANDB_ENTRY)
            .filter_map(|entry| Self::parse_entry(entry.value()))
            .collect()
    }

    fn parse_entry(entry: &[u8]) -> Option<Self> {
        let (mut info, mut last) = (None, None);
        for attribute in attributes(entry, 0) {
            match attribute.kind() {
                BRIDGE_VLANDB_ENTRY_INFO => info = BridgeVlanInfo::try_from(attribute.value()).ok(),
                BRIDGE_VLANDB_ENTRY_RANGE => last = read_u16(attribute.value()),
                _ => {}
            }
        }
        let BridgeVlanInfo { flags, vid } = info?;
        Some(Self {
            vids: vid..=last.unwrap_or(vid),
            pvid: flags.contains(BridgeVlanInfoFlags::Pvid),
            untagged: flags.contains(BridgeVlanInfoFlags::Untagged),
        })
    }
}

impl Rtnetlink {
    /// Makes a bridge filter by VLANs. As `ip link set dev NAME type bridge vlan_filtering 1`.
    ///
    /// # Errors
    /// [`Error::MissingFeature`] without bridge VLANs in the kernel; otherwise the kernel's refusal.
    pub fn enable_vlan_filtering(&mut self, bridge: u32) -> Result<()> {
        let change = Change::of_link(filtering_message(bridge), |name| {
            format!("switch on VLAN filtering of bridge {name}")
        });
        self.apply(&[change.needing(Feature::BridgeVlanFiltering, &[Errno::EOPNOTSUPP])])
    }

    /// Adds `vlans` to those that a bridge's port carries, in one request. A VLAN that the port carries in another
    /// way is changed; a new VLAN for frames without a tag replaces the former one.
    ///
    /// As `bridge vlan add dev NAME vid N pvid untagged` and `bridge vlan add dev NAME vid M-N`.
    ///
    /// # Errors
    /// [`Error::MissingFeature`] without bridge VLANs in the kernel; otherwise the kernel's refusal.
    pub fn add_port_vlans(&mut self, port: u32, vlans: &[PortVlans]) -> Result<()> {
        let change = Change::new(RouteNetlinkMessage::SetLink(port_message(port, vlans)), 0, port, |name| {
            format!("set the VLANs of bridge port {name}")
        });
        self.apply(&[change.needing(Feature::BridgeVlanFiltering, &[Errno::EOPNOTSUPP])])
    }

    /// Removes `vlans` from a bridge's port. Those that it does not carry are not an error.
    ///
    /// As `bridge vlan del dev NAME vid N`. A kernel without bridge VLANs reports success.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn delete_port_vlans(&mut self, port: u32, vlans: &[PortVlans]) -> Result<()> {
        let deletion =
            Change::new(RouteNetlinkMessage::DelLink(port_message(port, vlans)), 0, port, |name| {
                format!("delete VLANs of bridge port {name}")
            });
        self.apply(&[deletion])
    }

    /// Returns the VLANs of a bridge's port. As `bridge vlan show dev NAME`, which asks for all ports: only
    /// `RTM_GETVLAN` (Linux 5.6) answers for one.
    ///
    /// # Errors
    /// [`Error::MissingFeature`] when the kernel does not know the request; otherwise the kernel's refusal.
    pub fn port_vlans(&mut self, port: u32) -> Result<Vec<PortVlans>> {
        let mut vlans = Vec::new();
        let outcome = self.attempt_raw(RTM_GETVLAN, NLM_F_DUMP, &list_payload(port), |reply| {
            vlans.extend(PortVlans::parse(&reply));
        });
        match outcome {
            Ok(()) => Ok(vlans),
            Err(failure) => Err(self
                .failed(failure, port, |name| format!("list the VLANs of {name}"))
                .or_missing(Feature::BridgeVlanList, &[Errno::EOPNOTSUPP])),
        }
    }

    /// Checks that the kernel's bridges can filter by VLANs; nothing is created.
    ///
    /// The request is for a bridge with an invalid VLAN protocol and an invalid name. A kernel with VLAN filtering
    /// refuses the protocol (`br_validate` in net/bridge/br_netlink.c); one without ignores it and refuses the name.
    ///
    /// # Errors
    /// [`Error::MissingFeature`] if they cannot; otherwise the kernel's refusal.
    pub fn probe_vlan_filtering(&mut self) -> Result<()> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(IMPOSSIBLE_NAME.to_owned()));
        let protocol = InfoBridge::Other(DefaultNla::new(IFLA_BR_VLAN_PROTOCOL, vec![0, 0]));
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Bridge),
            LinkInfo::Data(InfoData::Bridge(vec![protocol])),
        ]));
        let outcome = self.attempt(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL, |_| {});
        match outcome {
            Err(failure) if failure.errno() == Some(Errno::EPROTONOSUPPORT) => Ok(()),
            Ok(()) => Ok(()),
            Err(failure) => Err(failure
                .during(format_args!("filter by VLANs"))
                .or_missing(Feature::BridgeVlanFiltering, &[Errno::EINVAL, Errno::EOPNOTSUPP])),
        }
    }
}

pub(crate) fn filtering_on() -> LinkInfo {
    LinkInfo::Data(InfoData::Bridge(vec![InfoBridge::VlanFiltering(true)]))
}

fn filtering_message(bridge: u32) -> LinkMessage {
    let mut message = link_message(bridge);
    message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge), filtering_on()]));
    message
}

/// Returns a message about a port's VLANs. The request says what to do: `RTM_SETLINK` adds, `RTM_DELLINK` deletes.
fn port_message(port: u32, vlans: &[PortVlans]) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    message.header.index = port;
    let infos = vlans.iter().flat_map(PortVlans::infos).collect();
    message.attributes.push(LinkAttribute::AfSpecBridge(infos));
    message
}

/// Returns a `struct br_vlan_msg` for one port.
fn list_payload(port: u32) -> Vec<u8> {
    let mut payload = [u8::from(AddressFamily::Bridge), 0, 0, 0].to_vec();
    payload.extend(port.to_ne_bytes());
    payload
}

fn read_u16(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().copied().map(u16::from_ne_bytes)
}

#[cfg(test)]
mod tests;
