//! Rules at a link's hook, added and deleted.

use std::collections::HashMap;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{
    TcAction, TcActionAttribute, TcActionMessage, TcActionMessageAttribute, TcActionMirror, TcAttribute,
    TcFilterU32, TcMessage,
};
use nix::errno::Errno;

use super::hook::Hook;
use super::rule::{Rule, filter_request};
use crate::error::{Error, Result};
use crate::feature::Feature;
use crate::rtnetlink::Rtnetlink;

/// Rules of one preference; the kernel numbers its own from 0x800 on.
const RULES_MAX: u32 = 0x700;

impl Rtnetlink {
    /// Sets weir's rules at a hook of `link`, in this order; existing ones stay, others of weir's are deleted. An
    /// existing `ingress` or `clsact` qdisc is used; otherwise a `clsact` one is added, so that other tools can share
    /// it. When it fails, what it added is deleted.
    ///
    /// Returns whether it added the qdisc, which [`Rtnetlink::delete_unused_hook`] undoes.
    ///
    /// As `tc qdisc add dev NAME clsact` and `tc filter add dev NAME ingress pref 61438 protocol ip u32 match ip dst
    /// 10.0.0.0/8 flowid 1:1` for an exemption, with `action mirred egress redirect dev TO` for a redirect.
    ///
    /// # Errors
    /// When the link has an `ingress` qdisc, which has no egress hook; when there are more rules for one protocol
    /// than a preference holds; [`Error::MissingFeature`] without clsact, u32 or mirred in the kernel; otherwise the
    /// kernel's refusal.
    pub fn set_rules(&mut self, link: u32, hook: Hook, rules: &[Rule]) -> Result<bool> {
        let numbered = self.numbered(link, rules)?;
        let made_hook = hook != Hook::Root && self.ensure_hook(link)?;
        if !made_hook {
            if !self.has_hook(link, hook)? {
                return Err(Error::Other(format!(
                    "cannot add filters at the egress hook of {}: its ingress qdisc has no such hook, and excludes clsact, which has one; the tool that added it must use clsact",
                    self.name_of(link)
                )));
            }
            let current = self.rules(link, hook)?;
            if current.len() == rules.len() && current.iter().all(|rule| rules.contains(rule)) {
                return Ok(false);
            }
            self.delete_rules(link, hook)?;
        }
        let added =
            numbered.into_iter().try_for_each(|(rule, number)| self.add_rule(link, hook, rule, number));
        if let Err(error) = added {
            // The first error is the one to tell.
            let _ = self.delete_rules(link, hook);
            if made_hook {
                let _ = self.delete_unused_hook(link);
            }
            return Err(error);
        }
        Ok(made_hook)
    }

    /// Returns the rules with their numbers, from 1 at each preference.
    fn numbered<'a>(&mut self, link: u32, rules: &'a [Rule]) -> Result<Vec<(&'a Rule, u32)>> {
        let mut numbers = HashMap::<u16, u32>::new();
        let mut numbered = Vec::with_capacity(rules.len());
        for rule in rules {
            let number = numbers.entry(rule.priority(Hook::Ingress)).or_insert(0);
            *number += 1;
            if *number > RULES_MAX {
                return Err(Error::Other(format!(
                    "cannot make more than {RULES_MAX} rules for one protocol at {}",
                    self.name_of(link)
                )));
            }
            numbered.push((rule, *number));
        }
        Ok(numbered)
    }

    fn add_rule(&mut self, link: u32, hook: Hook, rule: &Rule, number: u32) -> Result<()> {
        let message = RouteNetlinkMessage::NewTrafficFilter(rule.message(link, hook, number));
        self.attempt(message, NLM_F_CREATE | NLM_F_EXCL, |_| {}).map_err(|failure| {
            let unknown_kind = failure.errno() == Some(Errno::ENOENT);
            let error =
                self.failed(failure, link, |name| format!("make a rule at the {hook} hook of {name}"));
            let feature = if unknown_kind && self.has_mirred() { Feature::U32 } else { Feature::Mirred };
            error.or_missing(feature, &[Errno::ENOENT])
        })
    }

    /// Returns whether the kernel knows mirred: it refuses the action without parameters with `EINVAL` if so,
    /// otherwise with `ENOENT`.
    fn has_mirred(&mut self) -> bool {
        let mut action = TcAction::default();
        action.attributes = vec![TcActionAttribute::Kind(TcActionMirror::KIND.to_owned())];
        let mut message = TcActionMessage::default();
        message.attributes = vec![TcActionMessageAttribute::Actions(vec![action])];
        let request = RouteNetlinkMessage::NewTrafficAction(message);
        match self.attempt(request, NLM_F_CREATE | NLM_F_EXCL, |_| {}) {
            Ok(()) => true,
            Err(failure) => failure.errno() != Some(Errno::ENOENT),
        }
    }

    /// Deletes weir's rules from a hook of `link`, and nothing else; an absent rule or link is not an error.
    /// Redirects go before exemptions. Preferences without filters are deleted too.
    ///
    /// # Errors
    /// Any refusal but "no such filter" and "no such device".
    pub fn delete_rules(&mut self, link: u32, hook: Hook) -> Result<()> {
        let mut ours = self.filters(link, hook)?;
        ours.retain(|filter| filter.is_ours(hook));
        ours.sort_by_key(|filter| (filter.rule.target().is_none(), filter.handle));
        let mut preferences = Vec::new();
        for filter in ours {
            let (priority, protocol) = (filter.priority, filter.rule.protocol);
            let mut message = filter_request(link, hook, priority, protocol);
            message.header.handle = filter.handle.into();
            self.delete_filter(link, hook, message)?;
            if !preferences.contains(&(priority, protocol)) {
                preferences.push((priority, protocol));
            }
        }
        if preferences.is_empty() {
            return Ok(());
        }
        let left = self.filters(link, hook)?;
        preferences.retain(|(priority, _)| left.iter().all(|filter| filter.priority != *priority));
        preferences.into_iter().try_for_each(|(priority, protocol)| {
            self.delete_filter(link, hook, filter_request(link, hook, priority, protocol))
        })
    }

    /// Deletes the filter with the message's handle, or all of its preference when that is 0.
    fn delete_filter(&mut self, link: u32, hook: Hook, mut message: TcMessage) -> Result<()> {
        message.attributes.push(TcAttribute::Kind(TcFilterU32::KIND.to_owned()));
        match self.attempt(RouteNetlinkMessage::DelTrafficFilter(message), 0, |_| {}) {
            Err(failure)
                if matches!(failure.errno(), Some(Errno::ENOENT | Errno::ENODEV | Errno::EINVAL)) =>
            {
                Ok(())
            }
            outcome => outcome.map_err(|failure| {
                self.failed(failure, link, |name| format!("delete our rule from the {hook} hook of {name}"))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tc::End;
    use crate::tc::tests::{in_a_namespace_of_its_own, tc};

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
            let is_first = hook == Hook::Ingress;
            assert_eq!(rtnetlink.set_rules(veth.index, hook, &rules).unwrap(), is_first, "made clsact");
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
        for hook in ["ingress", "egress"] {
            assert_eq!(tc(&format!("filter show dev host0 {hook}")), "", "no empty preference is left");
        }
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

    /// Adds the filter of the reference plugin.
    const REFERENCE_FILTER: &str =
        "protocol all pref 1 u32 match u32 0 0 flowid 1:1 action mirred egress redirect dev lo";

    #[test]
    fn the_filters_of_others_stay_and_a_hook_is_shared() {
        for (qdisc, parent) in [("ingress", "parent ffff:"), ("clsact", "ingress")] {
            let (mut rtnetlink, veth) = in_a_namespace_of_its_own();
            tc(&format!("qdisc add dev host0 {qdisc}"));
            tc(&format!("filter add dev host0 {parent} {REFERENCE_FILTER}"));
            assert_eq!(rtnetlink.rules(veth.index, Hook::Ingress).unwrap(), []);
            let everything = [Rule::everything(veth.index)];
            assert!(
                !rtnetlink.set_rules(veth.index, Hook::Ingress, &everything).unwrap(),
                "{qdisc} is theirs"
            );
            assert_eq!(rtnetlink.rules(veth.index, Hook::Ingress).unwrap(), everything);
            assert_eq!(rtnetlink.redirects(veth.index, Hook::Ingress).unwrap(), [1, veth.index]);
            rtnetlink.delete_rules(veth.index, Hook::Ingress).unwrap();
            assert_eq!(rtnetlink.redirects(veth.index, Hook::Ingress).unwrap(), [1]);
        }
    }

    #[test]
    fn an_ingress_qdisc_of_others_has_no_egress_hook() {
        let (mut rtnetlink, veth) = in_a_namespace_of_its_own();
        tc("qdisc add dev host0 ingress");
        let refused = rtnetlink.set_rules(veth.index, Hook::Egress, &[Rule::everything(1)]).unwrap_err();
        assert!(refused.to_string().contains("the egress hook of host0: its ingress qdisc"), "{refused}");
        assert_eq!(rtnetlink.rules(veth.index, Hook::Egress).unwrap(), []);
    }

    #[test]
    fn everything_is_one_filter_with_our_handle() {
        let (mut rtnetlink, veth) = in_a_namespace_of_its_own();
        rtnetlink.set_rules(veth.index, Hook::Ingress, &[Rule::everything(1)]).unwrap();
        let shown = tc("filter show dev host0 ingress");
        for expected in [
            "protocol all pref 61440 u32 chain 0 fh 800::1fb",
            "flowid 1:1",
            "match 00000000/00000000 at 0",
            "mirred (Egress Redirect to device lo) stolen",
        ] {
            assert!(shown.contains(expected), "{expected} is not in:\n{shown}");
        }
    }

    #[test]
    fn rules_of_ours_that_lead_elsewhere_are_replaced() {
        let (mut rtnetlink, veth) = in_a_namespace_of_its_own();
        rtnetlink.set_rules(veth.index, Hook::Ingress, &all_but_some(1, End::Destination)).unwrap();
        for to in [1, 1, veth.index] {
            rtnetlink.set_rules(veth.index, Hook::Ingress, &[Rule::everything(to)]).unwrap();
            assert_eq!(rtnetlink.rules(veth.index, Hook::Ingress).unwrap(), [Rule::everything(to)]);
        }
    }

    #[test]
    fn removing_what_is_not_there_is_fine() {
        let (mut rtnetlink, veth) = in_a_namespace_of_its_own();
        rtnetlink.delete_rules(veth.index, Hook::Ingress).unwrap();
        rtnetlink.delete_rules(veth.index, Hook::Egress).unwrap();
        rtnetlink.delete_rules(4711, Hook::Ingress).unwrap();
    }

    #[test]
    fn what_was_made_before_a_refusal_goes_again_and_nothing_else() {
        let (mut rtnetlink, veth) = in_a_namespace_of_its_own();
        let mut fails = |hook| {
            let error = rtnetlink.set_rules(veth.index, hook, &all_but_some(4711, End::Source)).unwrap_err();
            assert_eq!(error.errno(), Some(Errno::ENODEV), "{error}");
            assert!(error.to_string().contains("hook of host0"), "{error}");
            assert!(rtnetlink.has_mirred(), "it is no missing feature");
        };
        for hook in [Hook::Ingress, Hook::Egress] {
            fails(hook);
            assert!(!tc("qdisc show dev host0").contains("clsact"));
        }
        tc("qdisc add dev host0 clsact");
        for hook in [Hook::Ingress, Hook::Egress] {
            fails(hook);
            assert_eq!(tc(&format!("filter show dev host0 {hook}")), "");
        }
        assert!(tc("qdisc show dev host0").contains("clsact"), "it was there before");
    }

    #[test]
    fn too_many_rules_are_refused_before_any_is_made() {
        let (mut rtnetlink, veth) = in_a_namespace_of_its_own();
        let subnets = (0..=RULES_MAX).map(|number| std::net::Ipv4Addr::from(number << 8));
        let rules: Vec<_> = subnets
            .map(|subnet| Rule::subnet(std::net::IpAddr::V4(subnet).into(), End::Source, None))
            .collect();
        let error = rtnetlink.set_rules(veth.index, Hook::Ingress, &rules).unwrap_err();
        assert!(error.to_string().contains("1792 rules") && error.to_string().contains("host0"), "{error}");
        assert_eq!(rtnetlink.hook_kind(veth.index).unwrap(), None);
    }
}
