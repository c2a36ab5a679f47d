//! The u32 filters of a link as the kernel shows them, weir's and others.

use netlink_packet_route::RouteNetlinkMessage;
use nix::libc::{RTM_NEWTFILTER, TCA_KIND, TCA_OPTIONS};

use super::hook::Hook;
use super::request;
use super::rule::{EVERYTHING, Key, Rule};
use super::tcx;
use crate::constants::{
    TCA_ACT_KIND, TCA_ACT_OPTIONS, TCA_EGRESS_REDIR, TCA_MIRRED_PARMS, TCA_U32_ACT, TCA_U32_CLASSID,
    TCA_U32_SEL, TCMSG_LEN,
};
use crate::error::Result;
use crate::netlink::{Reply, attributes, read_text, read_u32};
use crate::rtnetlink::Rtnetlink;

/// `struct tc_u32_sel` and `struct tc_u32_key` (uapi/linux/pkt_cls.h).
const SELECTOR_LEN: usize = 16;
const KEY_LEN: usize = 16;
/// `TC_U32_NODE` (uapi/linux/pkt_cls.h): a handle is 12 bits of table, 8 of bucket, 12 of number.
const NODE_MASK: u32 = 0xFFF;

/// Offsets in `struct tc_mirred` (uapi/linux/tc_act/tc_mirred.h).
const MIRRED_EACTION: usize = 20;
const MIRRED_IFINDEX: usize = 24;

/// A u32 filter.
pub(super) struct Filter {
    pub rule: Rule,
    /// Preference (`pref` of `tc`); smaller ones come first.
    pub priority: u16,
    /// Table, bucket and number.
    pub handle: u32,
}

impl Filter {
    /// Reads a reply; `None` for a filter of another kind, and for anything but a filter, such as a hash table.
    fn parse(reply: &Reply<'_>) -> Option<Self> {
        let header = reply.payload.get(..TCMSG_LEN).filter(|_| reply.kind == RTM_NEWTFILTER)?;
        let info = read_u32(&header[16..])?;
        let (priority, protocol) = (u16::try_from(info >> 16).ok()?, u16::try_from(info & 0xFFFF).ok()?);
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
                        to: redirect_target(options).or_else(|| class(options)),
                    });
                }
                _ => {}
            }
        }
        Some(Self { rule: rule?, priority, handle: read_u32(&header[8..])? })
    }

    /// Returns whether the filter is weir's, by preference and number.
    pub fn is_ours(&self, hook: Hook) -> bool {
        let number = self.handle & NODE_MASK;
        self.priority == self.rule.priority(hook)
            && if self.rule.is_everything() { number == EVERYTHING } else { (1..=0x7FF).contains(&number) }
    }
}

/// Returns the class that a u32 filter at [`Hook::Root`] sorts packets into, if it is that of a limit.
fn class(options: &[u8]) -> Option<u32> {
    let class = attributes(options, 0).find(|option| option.kind() == TCA_U32_CLASSID)?;
    read_u32(class.value()).filter(|class| *class == Rule::CLASS)
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

/// Returns the device of the first "redirect to egress" among a u32 filter's actions.
fn redirect_target(options: &[u8]) -> Option<u32> {
    let actions = attributes(options, 0).find(|option| option.kind() == TCA_U32_ACT)?;
    attributes(actions.value(), 0).find_map(|action| {
        let mut is_mirred = false;
        let mut target = None;
        for attribute in attributes(action.value(), 0) {
            match attribute.kind() {
                TCA_ACT_KIND => is_mirred = attribute.value() == b"mirred\0",
                TCA_ACT_OPTIONS if is_mirred => {
                    target = attributes(attribute.value(), 0)
                        .find(|option| option.kind() == TCA_MIRRED_PARMS)
                        .filter(|parameters| {
                            parameters.value().get(MIRRED_EACTION..).and_then(read_u32)
                                == Some(TCA_EGRESS_REDIR)
                        })
                        .and_then(|parameters| read_u32(parameters.value().get(MIRRED_IFINDEX..)?));
                }
                _ => {}
            }
        }
        target
    })
}

impl Rtnetlink {
    /// Returns weir's rules at a hook of `link`. As `tc filter show dev NAME ingress`.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn rules(&mut self, link: u32, hook: Hook) -> Result<Vec<Rule>> {
        let filters = self.filters(link, hook)?;
        Ok(filters.into_iter().filter(|filter| filter.is_ours(hook)).map(|filter| filter.rule).collect())
    }

    /// Returns the indices of the devices that any u32 filter at a hook of `link` redirects to; 0 for a device that
    /// is gone.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn redirects(&mut self, link: u32, hook: Hook) -> Result<Vec<u32>> {
        Ok(self.filters(link, hook)?.iter().filter_map(|filter| filter.rule.target()).collect())
    }

    pub(super) fn filters(&mut self, link: u32, hook: Hook) -> Result<Vec<Filter>> {
        self.list(link, hook, Filter::parse)
    }

    /// Returns the preference and kind of a filter of another tool at a hook of `link` that sees packets before the
    /// one that redirects them to the device `to`, and can end the search; or a TCX program.
    ///
    /// As `tc filter show dev NAME ingress`, and `bpftool net`.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn filter_before(&mut self, link: u32, hook: Hook, to: u32) -> Result<Option<String>> {
        if tcx::has_program(link, hook) {
            return Ok(Some("a program of TCX".to_owned()));
        }
        let any = self.list(link, hook, |reply| {
            let header = reply.payload.get(..TCMSG_LEN).filter(|_| reply.kind == RTM_NEWTFILTER)?;
            let kind = attributes(reply.payload, TCMSG_LEN).find(|attribute| attribute.kind() == TCA_KIND)?;
            Some((read_u32(&header[16..])? >> 16, read_text(kind.value())))
        })?;
        let filters = self.filters(link, hook)?;
        let leads_there = |filter: &&Filter| filter.rule.target() == Some(to);
        let first = filters.iter().filter(leads_there).map(|filter| u32::from(filter.priority)).min();
        let Some(first) = first else { return Ok(None) };
        let ours = |priority: u32| {
            filters.iter().any(|filter| u32::from(filter.priority) == priority && filter.is_ours(hook))
        };
        let before = any.into_iter().find(|(priority, _)| *priority < first && !ours(*priority));
        Ok(before.map(|(priority, kind)| format!("the {kind} filter of preference {priority}")))
    }

    /// Returns whether a hook of `link` has filters of any kind.
    pub(super) fn has_filters(&mut self, link: u32, hook: Hook) -> Result<bool> {
        Ok(!self.list(link, hook, |reply| (reply.kind == RTM_NEWTFILTER).then_some(()))?.is_empty())
    }

    fn list<T>(
        &mut self,
        link: u32,
        hook: Hook,
        parse: impl FnMut(&Reply<'_>) -> Option<T>,
    ) -> Result<Vec<T>> {
        // An `ingress` qdisc answers for the only hook that it has.
        if hook == Hook::Egress && !self.has_hook(link, hook)? {
            return Ok(Vec::new());
        }
        let message = request(link, hook.parent(), None);
        self.attempt_dump(&RouteNetlinkMessage::GetTrafficFilter(message), parse).map_err(|failure| {
            self.failed(failure, link, |name| format!("list the filters at the {hook} hook of {name}"))
        })
    }
}
