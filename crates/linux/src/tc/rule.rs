//! Rules for a link's packets: redirected to another device, or exempt.
//!
//! Each rule is a u32 filter. The kernel ties a preference to one protocol, so the rules of a protocol share one:
//! 61437 ARP, 61438 IPv4, 61439 IPv6, 61440 everything. These filters see a frame with a VLAN tag as of the tag's
//! protocol, so the rules exist once more for each: 61436 IPv6 and 61435 IPv4 and ARP behind an 802.1Q tag, 61434 and
//! 61433 the same behind an 802.1AD tag. All exemptions thus come before "everything else". Within a preference,
//! rules apply in their order. At the egress hook preferences are eight less (61425 to 61432): the kernel lists the
//! u32 filters of both hooks of a clsact qdisc alike, by preference.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_route::tc::{
    TcAction, TcActionAttribute, TcActionMirror, TcActionMirrorOption, TcActionOption, TcActionType,
    TcAttribute, TcFilterU32, TcFilterU32Option, TcHandle, TcMessage, TcMirror, TcMirrorActionType, TcOption,
    TcU32Key, TcU32Selector, TcU32SelectorFlags,
};

use super::hook::Hook;
use super::request;
use crate::constants::{ETH_P_8021AD, ETH_P_8021Q, ETH_P_ALL, ETH_P_ARP, ETH_P_IP, ETH_P_IPV6};

/// Weir's last preference (`tc filter … pref 61440`).
///
/// Smaller ones come first. The kernel chooses from 49,152 downwards, and programs that decide about packets (network
/// policy, eBPF data paths, the reference bandwidth plugin) take small ones. A filter that drops packets must see
/// them before a redirect.
const PRIORITY: u16 = 0xF000;
/// The number of [`Rule::everything`] in its hash table (`tc filter … handle ::1fb`). The kernel chooses from 0x800
/// (`gen_new_kid` in net/sched/cls_u32.c).
pub(super) const EVERYTHING: u32 = 0x1FB;
/// Class `1:1`, as the reference sets it.
const CLASS: TcHandle = TcHandle { major: 1, minor: 1 };

/// The address of a packet that a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The sender's.
    Source,
    /// The receiver's.
    Destination,
}

/// Packets and their destination. The first matching rule applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub(super) protocol: u16,
    pub(super) keys: Vec<Key>,
    /// The device that the packets are redirected to, or, at [`Hook::Root`], [`Rule::CLASS`]; without one they are
    /// exempt.
    pub(super) to: Option<u32>,
}

/// Bits of the packet, from its network header on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub mask: u32,
    pub value: u32,
    pub offset: i32,
}

/// Matches everything.
const ANY: Key = Key { mask: 0, value: 0, offset: 0 };

/// The tags of a VLAN, each by its protocol.
const TAGS: [u16; 2] = [ETH_P_8021Q, ETH_P_8021AD];
/// The word before the network header ends with the protocol of the payload. The kernel removes a frame's first tag
/// and keeps it beside the frame.
const LAST_OF_ETHERNET_HEADER: i32 = -4;
const ETHERTYPE: u32 = 0xFFFF;
/// Offsets in the IPv4 and IPv6 headers.
const IPV4_SOURCE: i32 = 12;
const IPV4_DESTINATION: i32 = 16;
const IPV6_SOURCE: i32 = 8;
const IPV6_DESTINATION: i32 = 24;
/// The word with payload length, next header and hop limit, and the first one after the header.
const IPV6_NEXT_HEADER: i32 = 4;
const IPV6_PAYLOAD: i32 = 40;
const ICMPV6: u32 = 58;

impl Rule {
    /// The class that a rule at [`Hook::Root`] sends packets to; its filter limits them.
    pub const CLASS: u32 = 0x1_01FB;

    /// Returns the rule that redirects every packet to the device with this index.
    #[must_use]
    pub fn everything(to: u32) -> Self {
        Self { protocol: ETH_P_ALL, keys: vec![ANY], to: Some(to) }
    }

    /// Returns the rule that exempts ARP.
    #[must_use]
    pub fn arp_passes() -> Self {
        Self { protocol: ETH_P_ARP, keys: vec![ANY], to: None }
    }

    /// Returns the rules that exempt IPv6's neighbour discovery (ICMPv6 133 to 137).
    #[must_use]
    pub fn neighbour_discovery_passes() -> [Self; 3] {
        [(133, 0xFF), (134, 0xFE), (136, 0xFE)].map(|(kind, mask)| Self {
            protocol: ETH_P_IPV6,
            keys: vec![
                Key { mask: 0xFF00, value: ICMPV6 << 8, offset: IPV6_NEXT_HEADER },
                Key { mask: mask << 24, value: kind << 24, offset: IPV6_PAYLOAD },
            ],
            to: None,
        })
    }

    /// Returns the rule for packets with an address in `subnet`: to the device `to`, or exempt.
    #[must_use]
    pub fn subnet(subnet: IpNetwork, end: End, to: Option<u32>) -> Self {
        let (protocol, offset, address, mask) = match (subnet, end) {
            (IpNetwork::V4(subnet), end) => (
                ETH_P_IP,
                if end == End::Source { IPV4_SOURCE } else { IPV4_DESTINATION },
                subnet.network().octets().to_vec(),
                subnet.mask().octets().to_vec(),
            ),
            (IpNetwork::V6(subnet), end) => (
                ETH_P_IPV6,
                if end == End::Source { IPV6_SOURCE } else { IPV6_DESTINATION },
                subnet.network().octets().to_vec(),
                subnet.mask().octets().to_vec(),
            ),
        };
        let words = |bytes: &[u8]| -> Vec<u32> {
            bytes.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word)).collect()
        };
        let mut keys: Vec<Key> = (offset..)
            .step_by(4)
            .zip(words(&mask).into_iter().zip(words(&address)))
            .map(|(offset, (mask, value))| Key { mask, value, offset })
            .filter(|key| key.mask != 0)
            .collect();
        if keys.is_empty() {
            keys.push(ANY);
        }
        Self { protocol, keys, to }
    }

    /// Returns the subnet of a [`Rule::subnet`]; none for another rule.
    #[must_use]
    pub fn addresses(&self) -> Option<IpNetwork> {
        let (bits, ends) = match self.protocol {
            ETH_P_IP => (32, [IPV4_SOURCE, IPV4_DESTINATION]),
            ETH_P_IPV6 => (128, [IPV6_SOURCE, IPV6_DESTINATION]),
            _ => return None,
        };
        let everything = self.keys == [ANY];
        let first = self.keys.first().filter(|key| everything || ends.contains(&key.offset))?.offset;
        let (mut address, mut prefix) = (0u128, 0);
        for key in self.keys.iter().filter(|_| !everything) {
            let at = u32::try_from(key.offset - first).ok()? * 8;
            address |= u128::from(key.value & key.mask) << bits_left(bits, at)?;
            prefix += u8::try_from(key.mask.leading_ones()).ok()?;
        }
        let address = match bits {
            32 => IpAddr::V4(u32::try_from(address).ok()?.into()),
            _ => IpAddr::V6(address.into()),
        };
        IpNetwork::new(address, prefix).ok()
    }

    /// Returns the rules for the same packets behind an 802.1Q tag, and behind an 802.1AD tag.
    #[must_use]
    pub fn behind_tags(&self) -> [Self; 2] {
        let ethertype = Key { mask: ETHERTYPE, value: self.protocol.into(), offset: LAST_OF_ETHERNET_HEADER };
        TAGS.map(|protocol| {
            let keys = std::iter::once(ethertype).chain(self.keys.iter().copied()).collect();
            Self { protocol, keys, to: self.to }
        })
    }

    /// Returns the rules for frames with more than one VLAN tag, to the device `to`.
    #[must_use]
    pub fn several_tags(to: u32) -> Vec<Self> {
        let tag = |protocol| Self { protocol, keys: Vec::new(), to: Some(to) };
        TAGS.iter().flat_map(|inner| tag(*inner).behind_tags()).collect()
    }

    /// Returns whether it matches frames with a VLAN tag: one of [`Rule::behind_tags`] or [`Rule::several_tags`].
    #[must_use]
    pub fn is_about_tags(&self) -> bool {
        TAGS.contains(&self.protocol)
    }

    /// Returns the device or class of the packets; none when they are exempt.
    #[must_use]
    pub fn target(&self) -> Option<u32> {
        self.to
    }

    /// Returns whether it is [`Rule::everything`].
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.protocol == ETH_P_ALL
    }

    pub(super) fn priority(&self, hook: Hook) -> u16 {
        let last = match hook {
            Hook::Ingress | Hook::Root => PRIORITY,
            Hook::Egress => PRIORITY - 8,
        };
        let ethertype = Key { mask: ETHERTYPE, value: ETH_P_IPV6.into(), offset: LAST_OF_ETHERNET_HEADER };
        let is_ipv6 = self.keys.contains(&ethertype);
        last - match self.protocol {
            ETH_P_IPV6 => 1,
            ETH_P_IP => 2,
            ETH_P_ARP => 3,
            ETH_P_8021Q => 5 - u16::from(is_ipv6),
            ETH_P_8021AD => 7 - u16::from(is_ipv6),
            _ => 0,
        }
    }

    fn selector(&self) -> TcU32Selector {
        let mut selector = TcU32Selector::default();
        selector.flags = TcU32SelectorFlags::Terminal;
        selector.nkeys = u8::try_from(self.keys.len()).unwrap_or(u8::MAX);
        selector.keys = self
            .keys
            .iter()
            .map(|Key { mask, value, offset }| {
                let mut key = TcU32Key::default();
                (key.mask, key.val, key.off) = (*mask, *value, *offset);
                key
            })
            .collect();
        selector
    }

    /// Returns the request for the filter; `number` distinguishes it from others of its protocol.
    pub(super) fn message(&self, link: u32, hook: Hook, number: u32) -> TcMessage {
        let mut message = filter_request(link, hook, self.priority(hook), self.protocol);
        // Without a table the kernel completes it with that of our preference.
        message.header.handle = if self.is_everything() { EVERYTHING } else { number }.into();
        message.attributes.push(TcAttribute::Kind(TcFilterU32::KIND.to_owned()));
        let class = match (hook, self.to) {
            (Hook::Root, Some(_)) => Self::CLASS.into(),
            (Hook::Root, None) => hook.parent(),
            _ => CLASS,
        };
        let mut options = vec![
            TcOption::U32(TcFilterU32Option::ClassId(class)),
            TcOption::U32(TcFilterU32Option::Selector(self.selector())),
        ];
        let device = self.to.filter(|_| hook != Hook::Root);
        options.extend(device.map(|to| TcOption::U32(TcFilterU32Option::Action(vec![redirect_to(to)]))));
        message.attributes.push(TcAttribute::Options(options));
        message
    }
}

/// Returns the distance from the end of an address of a word that begins after so many bits.
fn bits_left(bits: u32, at: u32) -> Option<u32> {
    bits.checked_sub(at)?.checked_sub(u32::BITS)
}

/// Returns a request about the filters of a protocol at a preference.
pub(super) fn filter_request(link: u32, hook: Hook, priority: u16, protocol: u16) -> TcMessage {
    let mut message = request(link, hook.parent(), None);
    message.header.info = u32::from(priority) << 16 | u32::from(protocol.to_be());
    message
}

fn redirect_to(device: u32) -> TcAction {
    let mut mirred = TcMirror::default();
    mirred.generic.action = TcActionType::Stolen;
    mirred.eaction = TcMirrorActionType::EgressRedir;
    mirred.ifindex = device;
    let mut action = TcAction::default();
    action.attributes = vec![
        TcActionAttribute::Kind(TcActionMirror::KIND.to_owned()),
        TcActionAttribute::Options(vec![TcActionOption::Mirror(TcActionMirrorOption::Parms(mirred))]),
    ];
    action
}
