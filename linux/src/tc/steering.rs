//! Rules at a link's hooks: which packets are sent through another device, and which pass as they are.
//!
//! Each rule is a u32 filter of its own. The ones of a protocol share a preference, for the kernel ties a
//! preference to one protocol: 61437 ARP, 61438 IPv4, 61439 IPv6, 61440 everything. So all that is exempt is
//! looked at before "everything else". Within a preference the rules count in their order. At the egress hook
//! they have eight less (61429 to 61432): the kernel lists the u32 filters of a clsact qdisc by preference, those
//! of both hooks alike.

use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{
    TcAttribute, TcFilterU32, TcFilterU32Option, TcHandle, TcMessage, TcOption, TcU32Key, TcU32Selector,
    TcU32SelectorFlags,
};
use nix::errno::Errno;

use super::redirect::{CLASS, CLSACT, ETH_P_ALL, NODE, NODE_MASK, PRIORITY, redirect_target, redirect_to};
use super::{TCA_KIND, TCA_OPTIONS, TCMSG_LEN, request};
use crate::error::{Error, Feature, Result};
use crate::netlink::{Reply, attributes, read_u32};
use crate::rtnetlink::Rtnetlink;

/// Where a packet meets the rules of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// When it arrives there. An `ingress` qdisc has this hook and a `clsact` one.
    Ingress,
    /// Before it is queued there to be sent. Only a `clsact` qdisc has this hook.
    Egress,
}

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
    protocol: u16,
    keys: Vec<Key>,
    /// The device that the packets are sent through; without one they pass as they are.
    to: Option<u32>,
}

/// Bits of the packet, from its network header on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    mask: u32,
    value: u32,
    offset: i32,
}

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

const TCA_U32_SEL: u16 = 5;
/// `struct tc_u32_sel` and `struct tc_u32_key` (uapi/linux/pkt_cls.h).
const SELECTOR_LEN: usize = 16;
const KEY_LEN: usize = 16;
/// A preference holds so many rules; the kernel numbers its own from 0x800 on.
const RULES_MAX: usize = 0x700;

impl Rule {
    /// Every packet, to the device with this index.
    #[must_use]
    pub fn everything(to: u32) -> Self {
        Self { protocol: ETH_P_ALL, keys: vec![Key { mask: 0, value: 0, offset: 0 }], to: Some(to) }
    }

    /// ARP passes as it is.
    #[must_use]
    pub fn arp_passes() -> Self {
        Self { protocol: ETH_P_ARP, keys: vec![Key { mask: 0, value: 0, offset: 0 }], to: None }
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
            keys.push(Key { mask: 0, value: 0, offset: 0 });
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

    fn priority(&self, hook: Hook) -> u16 {
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
}

/// A rule as the kernel holds it.
struct Installed {
    rule: Rule,
    priority: u16,
    handle: u32,
}

impl Installed {
    /// `None` for a filter that is not ours, and for what is not a filter.
    fn parse(reply: &Reply<'_>, hook: Hook) -> Option<Self> {
        const RTM_NEWTFILTER: u16 = 44;
        let header = reply.payload.get(..TCMSG_LEN).filter(|_| reply.kind == RTM_NEWTFILTER)?;
        let info = read_u32(&header[16..])?;
        let (priority, protocol) = (u16::try_from(info >> 16).ok()?, u16::try_from(info & 0xFFFF).ok()?);
        let handle = read_u32(&header[8..])?;
        let (mut is_u32, mut rule) = (false, None);
        for attribute in attributes(reply.payload, TCMSG_LEN) {
            match attribute.kind() {
                TCA_KIND => is_u32 = attribute.value() == b"u32\0",
                TCA_OPTIONS if is_u32 => {
                    let options = attribute.value();
                    let selector = attributes(options, 0).find(|option| option.kind() == TCA_U32_SEL);
                    rule = selector.and_then(|selector| parse_keys(selector.value())).map(|keys| Rule {
                        protocol: u16::from_be(protocol),
                        keys,
                        to: redirect_target(options),
                    });
                }
                _ => {}
            }
        }
        let installed = Self { rule: rule?, priority, handle };
        installed.is_ours(hook).then_some(installed)
    }

    /// By preference and number, both.
    fn is_ours(&self, hook: Hook) -> bool {
        let node = self.handle & NODE_MASK;
        self.priority == self.rule.priority(hook)
            && if self.rule.is_everything() { node == NODE } else { (1..=0x7FF).contains(&node) }
    }
}

fn parse_keys(selector: &[u8]) -> Option<Vec<Key>> {
    let keys = selector.get(SELECTOR_LEN..)?.as_chunks::<KEY_LEN>().0;
    keys.iter()
        .map(|key| {
            Some(Key {
                mask: u32::from_be(read_u32(key)?),
                value: u32::from_be(read_u32(&key[4..])?),
                offset: read_u32(&key[8..])?.cast_signed(),
            })
        })
        .collect()
}

impl Hook {
    pub(super) fn parent(self) -> TcHandle {
        let minor = match self {
            Self::Ingress => TcHandle::MIN_INGRESS,
            Self::Egress => TcHandle::MIN_EGRESS,
        };
        TcHandle { major: 0xFFFF, minor }
    }
}

impl Rtnetlink {
    /// Makes `rules` ours at a hook of `link`, in this order; those that are there already stay as they are.
    /// An `ingress` or `clsact` qdisc that is there is used, otherwise a `clsact` one is made. Returns whether
    /// anything was changed.
    ///
    /// As `tc filter add dev NAME ingress pref 61438 protocol ip u32 match ip dst 10.0.0.0/8 flowid 1:1` for
    /// what passes, with `action mirred egress redirect dev TO` for what is sent through another device.
    ///
    /// # Errors
    /// [`Error::NoEgressHook`] when something else made an `ingress` qdisc, which has no egress hook;
    /// [`Error::MissingFeature`]; otherwise the kernel's refusal.
    pub fn set_rules(&mut self, link: u32, hook: Hook, rules: &[Rule]) -> Result<bool> {
        let made_hook = self.ensure_hook(link)?;
        if !made_hook {
            let current = self.rules(link, hook)?;
            let wanted = |rule: &Rule| rules.contains(rule);
            if current.len() == rules.len() && current.iter().all(wanted) {
                return Ok(false);
            }
            self.delete_rules(link, hook)?;
        }
        if !made_hook && hook == Hook::Egress && self.hook_kind(link)?.as_deref() != Some(CLSACT) {
            return Err(Error::NoEgressHook { link });
        }
        let mut numbers = std::collections::HashMap::<u16, u32>::new();
        for rule in rules {
            let number = numbers.entry(rule.protocol).or_insert(0);
            *number += 1;
            if usize::try_from(*number).is_ok_and(|number| number > RULES_MAX) {
                return Err(Error::TooManyRules { link, most: RULES_MAX });
            }
            self.add_rule(link, hook, rule, *number)?;
        }
        Ok(true)
    }

    fn add_rule(&mut self, link: u32, hook: Hook, rule: &Rule, number: u32) -> Result<()> {
        let mut message = filter(link, hook, rule.priority(hook), rule.protocol);
        message.header.handle = if rule.is_everything() { NODE } else { number }.into();
        message.attributes.push(TcAttribute::Kind(TcFilterU32::KIND.to_owned()));
        let mut options = vec![
            TcOption::U32(TcFilterU32Option::ClassId(CLASS)),
            TcOption::U32(TcFilterU32Option::Selector(rule.selector())),
        ];
        options.extend(rule.to.map(|to| TcOption::U32(TcFilterU32Option::Action(vec![redirect_to(to)]))));
        message.attributes.push(TcAttribute::Options(options));
        let outcome =
            self.attempt(RouteNetlinkMessage::NewTrafficFilter(message), NLM_F_CREATE | NLM_F_EXCL, |_| {});
        outcome.map_err(|failure| {
            let unknown_kind = failure.errno() == Some(Errno::ENOENT);
            let error = failure.during(format_args!("make a rule at the {hook:?} hook of link {link}"));
            let feature = if unknown_kind && self.has_mirred() { Feature::U32 } else { Feature::Mirred };
            error.or_missing(feature, &[Errno::ENOENT])
        })
    }

    /// Our rules at a hook of `link`. As `tc filter show dev NAME ingress`.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn rules(&mut self, link: u32, hook: Hook) -> Result<Vec<Rule>> {
        Ok(self.installed_rules(link, hook)?.into_iter().map(|installed| installed.rule).collect())
    }

    fn installed_rules(&mut self, link: u32, hook: Hook) -> Result<Vec<Installed>> {
        // An `ingress` qdisc would answer for the hook that it has.
        if hook == Hook::Egress && self.hook_kind(link)?.as_deref() != Some(CLSACT) {
            return Ok(Vec::new());
        }
        self.dump(
            RouteNetlinkMessage::GetTrafficFilter(request(link, hook.parent(), None)),
            format_args!("list the filters at the {hook:?} hook of link {link}"),
            |reply| Installed::parse(reply, hook),
        )
    }

    /// Removes our rules from a hook of `link`, and nothing else; without any, or without the link, there is
    /// nothing to do. What sends packets elsewhere goes before what exempts some of them.
    ///
    /// # Errors
    /// Any refusal but "no such filter" and "no such device".
    pub fn delete_rules(&mut self, link: u32, hook: Hook) -> Result<()> {
        let mut installed = self.installed_rules(link, hook)?;
        installed.sort_by_key(|installed| (installed.rule.to.is_none(), installed.handle));
        for Installed { rule, priority, handle } in installed {
            let mut message = filter(link, hook, priority, rule.protocol);
            message.header.handle = handle.into();
            message.attributes.push(TcAttribute::Kind(TcFilterU32::KIND.to_owned()));
            match self.attempt(RouteNetlinkMessage::DelTrafficFilter(message), 0, |_| {}) {
                Err(failure)
                    if matches!(failure.errno(), Some(Errno::ENOENT | Errno::ENODEV | Errno::EINVAL)) => {}
                outcome => {
                    outcome.map_err(|failure| {
                        failure.during(format_args!("delete our rule from link {link}"))
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Which qdisc gives `link` its hooks: `clsact`, `ingress`, or none.
    ///
    /// # Errors
    /// The kernel's refusal; `ENODEV` when there is no such link.
    pub fn hook_kind(&mut self, link: u32) -> Result<Option<String>> {
        Ok(self.qdisc_at(link, TcHandle::CLSACT)?.map(|qdisc| qdisc.kind))
    }
}

fn filter(link: u32, hook: Hook, priority: u16, protocol: u16) -> TcMessage {
    let mut message = request(link, hook.parent(), None);
    message.header.info = u32::from(priority) << 16 | u32::from(protocol.to_be());
    message
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::tc::tests::in_a_namespace_of_its_own;

    fn tc(arguments: &str) -> String {
        let output = Command::new("tc").args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "tc {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn all_but_some(to: u32, end: End) -> Vec<Rule> {
        let mut rules = vec![Rule::arp_passes()];
        rules.extend(Rule::neighbour_discovery_passes());
        for subnet in ["10.0.0.0/8", "192.168.7.9/32", "fd00:1:2::/44", "2001:db8::1/128", "0.0.0.0/0"] {
            rules.push(Rule::subnet(subnet.parse().unwrap(), end, None));
        }
        rules.push(Rule::everything(to));
        rules
    }

    #[test]
    fn rules_read_back_at_both_hooks_and_go_again() {
        let (mut rtnetlink, veth) = in_a_namespace_of_its_own();
        for (hook, end) in [(Hook::Ingress, End::Destination), (Hook::Egress, End::Source)] {
            let rules = all_but_some(1, end);
            assert!(rtnetlink.set_rules(veth.index, hook, &rules).unwrap());
            assert!(!rtnetlink.set_rules(veth.index, hook, &rules).unwrap());
            let shown = rtnetlink.rules(veth.index, hook).unwrap();
            assert_eq!(shown.len(), rules.len());
            assert!(rules.iter().all(|rule| shown.contains(rule)), "{shown:?}");
        }
        rtnetlink.delete_rules(veth.index, Hook::Ingress).unwrap();
        assert_eq!(rtnetlink.rules(veth.index, Hook::Ingress).unwrap(), []);
        assert_eq!(rtnetlink.rules(veth.index, Hook::Egress).unwrap().len(), 10);
        rtnetlink.delete_rules(veth.index, Hook::Egress).unwrap();
        rtnetlink.delete_rules(veth.index, Hook::Egress).unwrap();
        // What may be left is empty tables, which match nothing.
        assert!(!tc("filter show dev host0 egress").contains("match"));
    }

    #[test]
    fn tc_shows_the_same_matches() {
        let (mut rtnetlink, veth) = in_a_namespace_of_its_own();
        rtnetlink.set_rules(veth.index, Hook::Ingress, &all_but_some(1, End::Destination)).unwrap();
        let shown = tc("filter show dev host0 ingress");
        for expected in [
            "protocol arp pref 61437 u32",
            "protocol ip pref 61438 u32",
            "match 0a000000/ff000000 at 16",
            "match c0a80709/ffffffff at 16",
            "protocol ipv6 pref 61439 u32",
            "match fd000001/ffffffff at 24",
            "match 00000000/fff00000 at 28",
            "match 00003a00/0000ff00 at 4",
            "match 85000000/ff000000 at 40",
            "protocol all pref 61440 u32",
        ] {
            assert!(shown.contains(expected), "{expected} is not in:\n{shown}");
        }
        assert_eq!(shown.matches("Egress Redirect to device lo").count(), 1);
    }

    #[test]
    fn the_filters_of_others_stay_and_an_ingress_qdisc_is_told_from_clsact() {
        let (mut rtnetlink, veth) = in_a_namespace_of_its_own();
        assert_eq!(rtnetlink.hook_kind(veth.index).unwrap(), None);
        tc("qdisc add dev host0 ingress");
        tc("filter add dev host0 parent ffff: protocol ip pref 5 u32 match u32 0 0 flowid 1:2");
        assert_eq!(rtnetlink.hook_kind(veth.index).unwrap().as_deref(), Some("ingress"));
        rtnetlink.set_rules(veth.index, Hook::Ingress, &[Rule::everything(1)]).unwrap();
        let refused = rtnetlink.set_rules(veth.index, Hook::Egress, &[Rule::everything(1)]).unwrap_err();
        assert!(matches!(refused, Error::NoEgressHook { .. }), "{refused}");
        assert_eq!(rtnetlink.rules(veth.index, Hook::Egress).unwrap(), []);
        rtnetlink.delete_rules(veth.index, Hook::Ingress).unwrap();
        assert!(tc("filter show dev host0 ingress").contains("pref 5 u32"));
    }

    #[test]
    fn everything_is_the_filter_that_redirect_ingress_makes() {
        let (mut rtnetlink, veth) = in_a_namespace_of_its_own();
        rtnetlink.redirect_ingress(veth.index, 1).unwrap();
        assert_eq!(rtnetlink.rules(veth.index, Hook::Ingress).unwrap(), [Rule::everything(1)]);
        rtnetlink.delete_rules(veth.index, Hook::Ingress).unwrap();
        assert_eq!(rtnetlink.redirect(veth.index).unwrap(), None);
    }
}
