//! Rules for a link's packets: which are sent through another device, and which pass as they are.
//!
//! Each rule is a u32 filter of its own. The ones of a protocol share a preference, for the kernel ties a
//! preference to one protocol: 61437 ARP, 61438 IPv4, 61439 IPv6, 61440 everything. So all that is exempt is
//! looked at before "everything else". Within a preference the rules count in their order. At the egress hook
//! they have eight less (61429 to 61432): the kernel lists the u32 filters of a clsact qdisc by preference, those
//! of both hooks alike.

use ipnetwork::IpNetwork;
use netlink_packet_route::tc::{
    TcAction, TcActionAttribute, TcActionMirror, TcActionMirrorOption, TcActionOption, TcActionType,
    TcAttribute, TcFilterU32, TcFilterU32Option, TcHandle, TcMessage, TcMirror, TcMirrorActionType, TcOption,
    TcU32Key, TcU32Selector, TcU32SelectorFlags,
};

use super::hook::Hook;
use super::request;

/// Our last preference (`tc filter … pref 61440`).
///
/// Smaller ones come first. Those that the kernel chooses go from 49,152 downwards, and programs that decide
/// about packets (network policy, eBPF data paths, the reference bandwidth plugin) take small ones. What drops
/// packets must see them before a redirect takes them away.
const PRIORITY: u16 = 0xF000;
/// The number of [`Rule::everything`] in its hash table (`tc filter … handle ::1fb`). Those that the kernel
/// chooses begin at 0x800 (`gen_new_kid` in net/sched/cls_u32.c).
pub(super) const EVERYTHING: u32 = 0x1FB;
/// Class `1:1`, as the reference sets it.
const CLASS: TcHandle = TcHandle { major: 1, minor: 1 };
const ETH_P_ALL: u16 = 0x0003;

/// Which address of a packet counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The sender's.
    Source,
    /// The receiver's.
    Destination,
}

/// Which packets, and where they go. The first rule that fits a packet counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub(super) protocol: u16,
    pub(super) keys: Vec<Key>,
    /// The device that the packets are sent through; without one they pass as they are.
    pub(super) to: Option<u32>,
}

/// Bits of the packet, from its network header on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub mask: u32,
    pub value: u32,
    pub offset: i32,
}

/// Fits everything.
const ANY: Key = Key { mask: 0, value: 0, offset: 0 };

const ETH_P_IP: u16 = 0x0800;
const ETH_P_ARP: u16 = 0x0806;
const ETH_P_IPV6: u16 = 0x86DD;
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
    /// Every packet, to the device with this index.
    #[must_use]
    pub fn everything(to: u32) -> Self {
        Self { protocol: ETH_P_ALL, keys: vec![ANY], to: Some(to) }
    }

    /// ARP passes as it is.
    #[must_use]
    pub fn arp_passes() -> Self {
        Self { protocol: ETH_P_ARP, keys: vec![ANY], to: None }
    }

    /// IPv6's neighbour discovery (ICMPv6 133 to 137) passes as it is.
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

    /// Packets whose address at `end` lies in `subnet`: to the device `to`, or as they are.
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

    /// Where the packets go, if not as they are.
    #[must_use]
    pub fn target(&self) -> Option<u32> {
        self.to
    }

    /// The same for another device: what passes as it is still does.
    #[must_use]
    pub fn redirected_to(&self, device: u32) -> Self {
        Self { to: self.to.map(|_| device), ..self.clone() }
    }

    /// Whether it is [`Rule::everything`].
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.protocol == ETH_P_ALL
    }

    pub(super) fn priority(&self, hook: Hook) -> u16 {
        let last = match hook {
            Hook::Ingress => PRIORITY,
            Hook::Egress => PRIORITY - 8,
        };
        match self.protocol {
            ETH_P_ARP => last - 3,
            ETH_P_IP => last - 2,
            ETH_P_IPV6 => last - 1,
            _ => last,
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

    /// The filter that the kernel makes of it. `number` tells it from others of its protocol.
    pub(super) fn message(&self, link: u32, hook: Hook, number: u32) -> TcMessage {
        let mut message = filter_request(link, hook, self.priority(hook), self.protocol);
        // Without a table the kernel completes it with that of our preference.
        message.header.handle = if self.is_everything() { EVERYTHING } else { number }.into();
        message.attributes.push(TcAttribute::Kind(TcFilterU32::KIND.to_owned()));
        let mut options = vec![
            TcOption::U32(TcFilterU32Option::ClassId(CLASS)),
            TcOption::U32(TcFilterU32Option::Selector(self.selector())),
        ];
        options.extend(self.to.map(|to| TcOption::U32(TcFilterU32Option::Action(vec![redirect_to(to)]))));
        message.attributes.push(TcAttribute::Options(options));
        message
    }
}

/// A request about the filters of a protocol at a preference.
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
