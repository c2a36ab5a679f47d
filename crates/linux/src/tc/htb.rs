//! A hierarchical token bucket without a limit of its own. It only classifies: packets of one class go to a token
//! bucket filter, all others past it.
//!
//! ```text
//! qdisc htb 1: root                      # default 0: past all classes
//!  ├─ filters                            # the rules, of which the first that fits counts
//!  └─ class 1:1fb                        # as good as no rate
//!      └─ qdisc tbf 1fb:                 # the limit
//! ```
//!
//! A filter or program at a link's hooks cannot end the search among the filters in its root qdisc. The kernel logs
//! once per link that the filter in the class is non-work-conserving.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};
use nix::errno::Errno;

use super::hook::Hook;
use super::qdisc::Qdisc;
use super::rule::Rule;
use super::tbf::{HANDLE, Tbf};
use super::{option, request};
use crate::change::Change;
use crate::constants::{
    TC_HTB_PROTOVER, TC_LINKLAYER_ETHERNET, TCA_HTB_CEIL64, TCA_HTB_INIT, TCA_HTB_PARMS, TCA_HTB_RATE64,
};
use crate::error::Result;
use crate::feature::Feature;
use crate::rtnetlink::Rtnetlink;

const KIND: &str = "htb";
/// The token bucket filter in the class.
const LEAF: TcHandle = TcHandle { major: 0x1FB, minor: 0 };

/// `struct tc_htb_opt`: two `struct tc_ratespec` of 12 bytes, buffer, cbuffer, quantum, level, prio.
const OPT_LEN: usize = 44;
const OPT_LINKLAYERS: [usize; 2] = [1, 13];
const OPT_RATES: [usize; 2] = [8, 20];
const OPT_BUFFERS: [usize; 2] = [24, 28];
const OPT_QUANTUM: usize = 32;
/// A rate at which every packet takes 0 ns, and which `tc` can still show in bits.
const RATE: u64 = 1 << 60;
/// Burst of the class, in ticks of 64 ns: at its rate no packet takes any time.
const BUFFER_TICKS: u32 = 15_625;
/// No other class takes turns. The kernel accepts 1 to 200,000 without a warning.
const QUANTUM: u32 = 200_000;

impl Rtnetlink {
    /// Replaces the root qdisc of a link by one in which `tbf` limits the packets that `rules` send to
    /// [`Rule::CLASS`], and all others pass. The link must have the kernel's default root qdisc, or this one, whose
    /// filter and rules are replaced. When it fails, the root is the default again.
    ///
    /// As `tc qdisc add dev NAME root handle 1: htb default 0`, `tc class add dev NAME parent 1: classid 1:1fb htb
    /// rate 1tbit quantum 200000`, `tc qdisc add dev NAME parent 1:1fb handle 1fb: tbf …` and `tc filter add dev NAME
    /// parent 1: … flowid 1:1fb`.
    ///
    /// # Errors
    /// [`Error::MissingFeature`](crate::Error::MissingFeature) without `sch_htb`;
    /// more rules for one protocol than a preference holds; otherwise the kernel's refusal.
    pub fn set_root_classes(&mut self, link: u32, tbf: &Tbf, rules: &[Rule]) -> Result<()> {
        // In one datagram: a kill leaves all three, which identify them as weir's, or none.
        let filled = self
            .apply(&[root(link), class(link), Change::tbf(link, Rule::CLASS.into(), LEAF, tbf, None)])
            .and_then(|()| self.set_rules(link, Hook::Root, rules));
        if filled.is_err() {
            // The first error is the one to tell.
            let _ = self.delete_root_qdisc(link);
        }
        filled.map(|_| ())
    }

    /// Returns the filter in the class of [`Rtnetlink::set_root_classes`]. As `tc -statistics qdisc show dev NAME`.
    ///
    /// # Errors
    /// The kernel's refusal; `ENODEV` when there is no such link.
    pub fn class_qdisc(&mut self, link: u32) -> Result<Option<Qdisc>> {
        let leaf = self.qdisc_at(link, Rule::CLASS.into())?;
        Ok(leaf.filter(|leaf| TcHandle::from(leaf.handle) == LEAF))
    }
}

fn root(link: u32) -> Change {
    // struct tc_htb_glob: version, rate2quantum, defcls, debug, direct_pkts
    let mut glob = [0; 20];
    glob[..4].copy_from_slice(&TC_HTB_PROTOVER.to_ne_bytes());
    glob[4..8].copy_from_slice(&10u32.to_ne_bytes());
    let mut message = request(link, TcHandle::ROOT, Some(KIND));
    message.header.handle = HANDLE;
    message.attributes.push(TcAttribute::Options(vec![option(TCA_HTB_INIT, &glob)]));
    // An existing one has its options, which cannot be changed.
    change(RouteNetlinkMessage::NewQueueDiscipline(message), NLM_F_CREATE | NLM_F_EXCL, link)
        .ignoring(&[Errno::EEXIST])
}

fn class(link: u32) -> Change {
    let mut opt = [0; OPT_LEN];
    let mut put = |at: usize, value: u32| opt[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    OPT_RATES.into_iter().for_each(|at| put(at, u32::MAX));
    OPT_BUFFERS.into_iter().for_each(|at| put(at, BUFFER_TICKS));
    put(OPT_QUANTUM, QUANTUM);
    OPT_LINKLAYERS.into_iter().for_each(|at| opt[at] = TC_LINKLAYER_ETHERNET);
    let mut message: TcMessage = request(link, HANDLE, Some(KIND));
    message.header.handle = Rule::CLASS.into();
    message.attributes.push(TcAttribute::Options(vec![
        option(TCA_HTB_PARMS, &opt),
        option(TCA_HTB_RATE64, &RATE.to_ne_bytes()),
        option(TCA_HTB_CEIL64, &RATE.to_ne_bytes()),
    ]));
    change(RouteNetlinkMessage::NewTrafficClass(message), NLM_F_CREATE | NLM_F_REPLACE, link)
}

fn change(request: RouteNetlinkMessage, flags: u16, link: u32) -> Change {
    Change::new(request, flags, link, |name| format!("add traffic classes to {name}"))
        .needing(Feature::Htb, &[Errno::ENOENT])
}
