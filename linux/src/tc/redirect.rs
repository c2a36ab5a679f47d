//! The ingress hook of a link: our filter, which sends what arrives through another device.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{
    TcAction, TcActionAttribute, TcActionMessage, TcActionMessageAttribute, TcActionMirror,
    TcActionMirrorOption, TcActionOption, TcActionType, TcAttribute, TcFilterU32, TcFilterU32Option,
    TcHandle, TcMessage, TcMirror, TcMirrorActionType, TcOption, TcU32Key, TcU32Selector, TcU32SelectorFlags,
};
use nix::errno::Errno;

use super::steering::Hook;
use super::{TCA_KIND, TCA_OPTIONS, TCMSG_LEN, request};
use crate::error::{Feature, Result};
use crate::netlink::{Failure, Reply, attributes, read_u32};
use crate::rtnetlink::Rtnetlink;

/// Our filters' preference (`tc filter … pref 61440`).
///
/// Smaller ones come first. Those that the kernel chooses go from 49,152 downwards, and programs that decide
/// about packets (network policy, eBPF data paths, the reference bandwidth plugin) take small ones. What drops
/// packets must see them before a redirect takes them away.
pub(super) const PRIORITY: u16 = 0xF000;
/// Our filter's number in its hash table (`tc filter … handle ::1fb`). Those that the kernel chooses begin at
/// 0x800 (`gen_new_kid` in net/sched/cls_u32.c).
pub(super) const NODE: u32 = 0x1FB;
/// `TC_U32_NODE` (uapi/linux/pkt_cls.h): a handle is 12 bits of table, 8 of bucket, 12 of number.
pub(super) const NODE_MASK: u32 = 0xFFF;

pub(super) const CLSACT: &str = "clsact";
/// Handle of an ingress or clsact qdisc.
const HOOK_HANDLE: TcHandle = TcHandle { major: 0xFFFF, minor: 0 };
/// What arrives, at an `ingress` qdisc as well as at a `clsact` one.
const HOOK_INGRESS: TcHandle = TcHandle { major: 0xFFFF, minor: TcHandle::MIN_INGRESS };
/// Class `1:1`, as the reference sets it.
pub(super) const CLASS: TcHandle = TcHandle { major: 1, minor: 1 };
pub(super) const ETH_P_ALL: u16 = 0x0003;

const RTM_NEWTFILTER: u16 = 44;
const TCA_U32_ACT: u16 = 7;
const TCA_ACT_KIND: u16 = 1;
const TCA_ACT_OPTIONS: u16 = 2;
const TCA_MIRRED_PARMS: u16 = 2;
/// Offsets in `struct tc_mirred` (uapi/linux/tc_act/tc_mirred.h).
const MIRRED_EACTION: usize = 20;
const MIRRED_IFINDEX: usize = 24;
const TCA_EGRESS_REDIR: u32 = 1;

/// A u32 filter at the ingress hook that redirects to another device, ours or somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redirect {
    /// Index of the device that packets are sent through.
    pub to: u32,
    /// `pref` in the words of `tc`; smaller ones come first.
    pub priority: u16,
    /// The u32 handle: table, bucket and number.
    pub handle: u32,
}

impl Redirect {
    /// Whether [`Rtnetlink::redirect_ingress`] made it.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.priority == PRIORITY && self.handle & NODE_MASK == NODE
    }

    fn parse(reply: &Reply<'_>) -> Option<Self> {
        let header = reply.payload.get(..TCMSG_LEN).filter(|_| reply.kind == RTM_NEWTFILTER)?;
        let (mut is_u32, mut to) = (false, None);
        for attribute in attributes(reply.payload, TCMSG_LEN) {
            match attribute.kind() {
                TCA_KIND => is_u32 = attribute.value() == b"u32\0",
                TCA_OPTIONS if is_u32 => to = redirect_target(attribute.value()),
                _ => {}
            }
        }
        let info = read_u32(&header[16..])?.to_ne_bytes();
        let priority = u32::from_ne_bytes(info) >> 16;
        Some(Self { to: to?, priority: u16::try_from(priority).ok()?, handle: read_u32(&header[8..])? })
    }
}

/// The device that the first "redirect to egress" among a u32 filter's actions names.
pub(super) fn redirect_target(options: &[u8]) -> Option<u32> {
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

fn filter(link: u32, priority: u16) -> TcMessage {
    let mut message = request(link, HOOK_INGRESS, None);
    message.header.info = u32::from(priority) << 16 | u32::from(ETH_P_ALL.to_be());
    message
}

/// Every packet, to the end of the line: one key whose mask lets everything through.
fn match_all() -> TcU32Selector {
    let mut selector = TcU32Selector::default();
    selector.flags = TcU32SelectorFlags::Terminal;
    selector.nkeys = 1;
    selector.keys = vec![TcU32Key::default()];
    selector
}

pub(super) fn redirect_to(device: u32) -> TcAction {
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

impl Rtnetlink {
    /// Sends everything that arrives at `link` through the device `to`, and from there back to where it came
    /// in. An `ingress` or `clsact` qdisc that is there is used, otherwise a `clsact` one is made, so that
    /// others can join. A filter of ours that leads elsewhere is replaced; nobody else's is touched.
    ///
    /// As `tc qdisc add dev NAME clsact` and `tc filter add dev NAME ingress pref 61440 handle ::1fb protocol
    /// all u32 match u32 0 0 flowid 1:1 action mirred egress redirect dev TO`.
    ///
    /// # Errors
    /// [`Error::MissingFeature`](crate::Error::MissingFeature) without clsact, u32 or mirred in the kernel; otherwise the kernel's refusal.
    pub fn redirect_ingress(&mut self, link: u32, to: u32) -> Result<()> {
        self.ensure_hook(link)?;
        let mut outcome = self.add_redirect(link, to);
        if outcome.as_ref().is_err_and(|failure| failure.errno() == Some(Errno::ENOSPC)) {
            // Our number is taken: by a filter that an earlier run left.
            if self.redirect(link)? == Some(to) {
                return Ok(());
            }
            self.delete_redirect(link)?;
            outcome = self.add_redirect(link, to);
        }
        outcome.map_err(|failure| {
            let unknown_kind = failure.errno() == Some(Errno::ENOENT);
            let error = failure.during(format_args!("redirect what arrives at link {link} to link {to}"));
            let feature = if unknown_kind && self.has_mirred() { Feature::U32 } else { Feature::Mirred };
            error.or_missing(feature, &[Errno::ENOENT])
        })
    }

    pub(super) fn ensure_hook(&mut self, link: u32) -> Result<bool> {
        let mut message = request(link, TcHandle::CLSACT, Some(CLSACT));
        message.header.handle = HOOK_HANDLE;
        let request = RouteNetlinkMessage::NewQueueDiscipline(message);
        match self.attempt(request, NLM_F_CREATE | NLM_F_EXCL, |_| {}) {
            Err(failure) if failure.errno() == Some(Errno::EEXIST) => Ok(false),
            outcome => outcome.map(|()| true).map_err(|failure| {
                failure
                    .during(format_args!("make an ingress hook at link {link}"))
                    .or_missing(Feature::Ingress, &[Errno::ENOENT])
            }),
        }
    }

    fn add_redirect(&mut self, link: u32, to: u32) -> std::result::Result<(), Failure> {
        let mut message = filter(link, PRIORITY);
        // Without a table the kernel completes it with that of our preference.
        message.header.handle = NODE.into();
        message.attributes.push(TcAttribute::Kind(TcFilterU32::KIND.to_owned()));
        message.attributes.push(TcAttribute::Options(vec![
            TcOption::U32(TcFilterU32Option::ClassId(CLASS)),
            TcOption::U32(TcFilterU32Option::Selector(match_all())),
            TcOption::U32(TcFilterU32Option::Action(vec![redirect_to(to)])),
        ]));
        self.attempt(RouteNetlinkMessage::NewTrafficFilter(message), NLM_F_CREATE | NLM_F_EXCL, |_| {})
    }

    /// Asks for a mirred action without parameters, which the kernel refuses: with `ENOENT` when it does not
    /// know the action, with `EINVAL` when it does.
    pub(super) fn has_mirred(&mut self) -> bool {
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

    /// Where our filter at the ingress hook of `link` leads, if there is one: the device's index.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn redirect(&mut self, link: u32) -> Result<Option<u32>> {
        Ok(self.our_redirect(link)?.map(|redirect| redirect.to))
    }

    /// Every u32 filter at the ingress hook of `link` that redirects to a device, whoever made it. As
    /// `tc filter show dev NAME ingress`.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn redirects(&mut self, link: u32) -> Result<Vec<Redirect>> {
        self.list_redirects(link, request(link, HOOK_INGRESS, None))
    }

    /// As [`Rtnetlink::redirects`], at either hook.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn redirects_at(&mut self, link: u32, hook: Hook) -> Result<Vec<Redirect>> {
        // An `ingress` qdisc would answer for the hook that it has.
        if hook == Hook::Egress && self.hook_kind(link)?.as_deref() != Some(CLSACT) {
            return Ok(Vec::new());
        }
        self.list_redirects(link, request(link, hook.parent(), None))
    }

    /// A handle holds the number of its hash table, which depends on the other u32 filters of the link; so
    /// ours cannot be asked for directly. The kernel limits the list to our preference.
    fn our_redirect(&mut self, link: u32) -> Result<Option<Redirect>> {
        let found = self.list_redirects(link, filter(link, PRIORITY))?;
        Ok(found.into_iter().find(Redirect::is_ours))
    }

    fn list_redirects(&mut self, link: u32, message: TcMessage) -> Result<Vec<Redirect>> {
        self.dump(
            RouteNetlinkMessage::GetTrafficFilter(message),
            format_args!("list the filters at a hook of link {link}"),
            Redirect::parse,
        )
    }

    /// Removes our filter from the ingress hook of `link`, and nothing else; without one, or without the
    /// link, there is nothing to do.
    ///
    /// # Errors
    /// Any refusal but "no such filter" and "no such device".
    pub fn delete_redirect(&mut self, link: u32) -> Result<()> {
        let Some(redirect) = self.our_redirect(link)? else { return Ok(()) };
        let mut message = filter(link, PRIORITY);
        message.header.handle = redirect.handle.into();
        message.attributes.push(TcAttribute::Kind(TcFilterU32::KIND.to_owned()));
        match self.attempt(RouteNetlinkMessage::DelTrafficFilter(message), 0, |_| {}) {
            Err(failure)
                if matches!(failure.errno(), Some(Errno::ENOENT | Errno::ENODEV | Errno::EINVAL)) =>
            {
                Ok(())
            }
            outcome => {
                outcome.map_err(|failure| failure.during(format_args!("delete our filter from link {link}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::tc::tests::in_a_namespace_of_its_own;

    /// Other people's tool, in this test's namespace.
    fn tc(arguments: &str) {
        let output = Command::new("tc").args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "tc {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// What the reference plugin hangs there.
    const REFERENCE_FILTER: &str =
        "protocol all pref 1 u32 match u32 0 0 flowid 1:1 action mirred egress redirect dev lo";

    #[test]
    fn a_link_without_a_hook_gets_clsact_and_our_filter() {
        let (mut rtnetlink, veth) = in_a_namespace_of_its_own();
        assert_eq!(rtnetlink.redirects(veth.index).unwrap(), []);
        rtnetlink.redirect_ingress(veth.index, 1).unwrap();
        let ours = Redirect { to: 1, priority: PRIORITY, handle: 0x8000_0000 | NODE };
        assert_eq!(rtnetlink.redirects(veth.index).unwrap(), [ours]);
        let shown = Command::new("tc").args(["filter", "show", "dev", "host0", "ingress"]).output().unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
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
    fn the_filters_of_others_stay_and_a_hook_is_shared() {
        for (hook, parent) in [("ingress", "parent ffff:"), ("clsact", "ingress")] {
            let (mut rtnetlink, veth) = in_a_namespace_of_its_own();
            tc(&format!("qdisc add dev host0 {hook}"));
            tc(&format!("filter add dev host0 {parent} {REFERENCE_FILTER}"));
            let theirs = rtnetlink.redirects(veth.index).unwrap();
            assert_eq!(theirs.len(), 1, "after {hook}");
            assert!(!theirs[0].is_ours() && theirs[0].to == 1 && theirs[0].priority == 1);

            assert_eq!(rtnetlink.redirect(veth.index).unwrap(), None);
            rtnetlink.redirect_ingress(veth.index, veth.index).unwrap();
            assert_eq!(rtnetlink.redirect(veth.index).unwrap(), Some(veth.index));
            assert_eq!(rtnetlink.redirects(veth.index).unwrap().len(), 2);

            rtnetlink.delete_redirect(veth.index).unwrap();
            assert_eq!(rtnetlink.redirects(veth.index).unwrap(), theirs);
        }
    }

    #[test]
    fn a_filter_of_ours_that_leads_elsewhere_is_replaced() {
        let (mut rtnetlink, veth) = in_a_namespace_of_its_own();
        for to in [1, 1, veth.index] {
            rtnetlink.redirect_ingress(veth.index, to).unwrap();
            assert_eq!(rtnetlink.redirect(veth.index).unwrap(), Some(to));
            assert_eq!(rtnetlink.redirects(veth.index).unwrap().len(), 1);
        }
    }

    #[test]
    fn removing_what_is_not_there_is_fine() {
        let (mut rtnetlink, veth) = in_a_namespace_of_its_own();
        rtnetlink.delete_redirect(veth.index).unwrap();
        rtnetlink.redirect_ingress(veth.index, 1).unwrap();
        rtnetlink.delete_redirect(veth.index).unwrap();
        rtnetlink.delete_redirect(veth.index).unwrap();
        rtnetlink.delete_redirect(4711).unwrap();
    }

    #[test]
    fn a_redirect_to_no_device_is_refused_and_no_missing_feature() {
        let (mut rtnetlink, veth) = in_a_namespace_of_its_own();
        let error = rtnetlink.redirect_ingress(veth.index, 4711).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::ENODEV));
        assert!(rtnetlink.has_mirred());
    }
}
