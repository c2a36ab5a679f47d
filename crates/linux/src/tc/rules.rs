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
use crate::change::Change;
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
        let deletion = Change::new(RouteNetlinkMessage::DelTrafficFilter(message), 0, link, move |name| {
            format!("delete weir's rule from the {hook} hook of {name}")
        });
        self.apply(&[deletion.ignoring(&[Errno::ENOENT, Errno::ENODEV, Errno::EINVAL])])
    }
}

#[cfg(test)]
mod tests;
