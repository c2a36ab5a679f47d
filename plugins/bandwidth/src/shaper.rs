//! Where the filter of a direction sits: at the root of the host's end, or at that of an ifb to which rules at
//! one of its hooks send packets.

use cni::Attachment;
use linux::{Change, Ifb, Link, Mac, Qdisc, Rtnetlink, Rule, Tbf};

use crate::burst::Burst;
use crate::choice::Choice;
use crate::config::Limit;
use crate::direction::Direction;
use crate::error::{Error, Result};
use crate::ifb;
use crate::shaping;
use crate::subnets::hook;

/// A token bucket filter that packets of one direction go through.
#[derive(Debug, Clone)]
pub(crate) struct Shaper {
    /// The link that has it.
    pub link: Link,
    /// The qdisc that it is.
    pub qdisc: Qdisc,
    /// Its numbers.
    pub tbf: Tbf,
    /// Whether the link is an ifb, and not the host's end itself.
    pub at_ifb: bool,
}

impl Shaper {
    fn at(host: &mut Rtnetlink, link: Link, at_ifb: bool) -> Result<Option<Self>> {
        let Some(qdisc) = host.root_qdisc(link.index)? else { return Ok(None) };
        Ok(qdisc.tbf.map(|tbf| Self { link, qdisc, tbf, at_ifb }))
    }
}

/// Finds the filter of a direction, whoever made it; one that is open counts only when there is no other.
///
/// # Errors
/// What the kernel says.
pub(crate) fn find(host: &mut Rtnetlink, host_end: &Link, direction: Direction) -> Result<Option<Shaper>> {
    let root = match direction {
        Direction::Ingress => Shaper::at(host, host_end.clone(), false)?,
        Direction::Egress => None,
    };
    if root.as_ref().is_some_and(|shaper| !shaper.tbf.is_open()) {
        return Ok(root);
    }
    for to in host.redirects(host_end.index, hook(direction))? {
        let Some(link) = host.link_by_index(to)?.filter(|link| link.is(ifb::KIND)) else { continue };
        if let Some(shaper) = Shaper::at(host, link, true)? {
            return Ok(Some(shaper));
        }
    }
    Ok(root)
}

/// What [`make_ifb`] made.
pub(crate) struct Made {
    pub ifb: Link,
    /// Whether the host's end had no hook before.
    pub made_hook: bool,
}

/// The filter's numbers; says on standard error when a burst that was chosen cannot be had, or keeps the rate from being
/// reached.
pub(crate) fn numbers(direction: Direction, limit: &Limit, mtu: u32, choice: &Choice) -> Tbf {
    let tbf = shaping::tbf(limit, mtu, choice);
    if let Burst::Chosen { bits } = limit.burst {
        let (asked, used) = (bits / 8, tbf.burst_bytes);
        if asked < used.into() {
            cni::note(format_args!(
                "bandwidth: {direction}Burst of {asked} bytes is less than a packet; using {used}"
            ));
        } else if asked > used.into() {
            cni::note(format_args!(
                "bandwidth: {direction}Burst of {asked} bytes is more than the kernel holds; using {used}"
            ));
        }
        let (least_bits, rate) = (shaping::bits_in_a_millisecond(limit), limit.rate_bits_per_sec);
        if bits < least_bits {
            cni::note(format_args!(
                "bandwidth: {direction}Burst of {bits} bits is less than a millisecond of {rate} bits per second; the \
                 kernel's timers may be late by that, and less than the rate passes then. {least_bits} bits would do"
            ));
        }
    }
    tbf
}

/// Makes an ifb, shapes it, and only then sends packets of the direction through it, by the `rules` for a device
/// with that index: none of them is lost. The device is unfinished until the caller says [`Change::finish`].
///
/// # Errors
/// What the kernel says; then nothing of it is left.
pub(crate) fn make_ifb(
    host: &mut Rtnetlink,
    host_end: &Link,
    attachment: Option<&Attachment>,
    direction: Direction,
    tbf: &Tbf,
    rules: impl FnOnce(u32) -> Vec<Rule>,
) -> Result<Made> {
    let name = ifb::claim_name(host, host_end, attachment, direction)?;
    let mac = attachment.map_or_else(Mac::random, |attachment| ifb::mac(attachment, direction));
    let created = host.create_ifb(&Ifb { name: &name, mac, mtu: host_end.mtu });
    let mut ifb = created.inspect_err(|_| undo(delete_unfinished(host, &name)))?;
    ifb.alias = attachment.map(|attachment| ifb::alias(attachment, direction));
    let mut changes: Vec<Change> =
        ifb.alias.iter().map(|alias| Change::set_alias(ifb.index, alias)).collect();
    changes.extend([
        Change::set_root_tbf(ifb.index, tbf),
        Change::without_link_local_address(ifb.index),
        Change::set_up(ifb.index),
    ]);
    let shaped =
        host.make(&changes).and_then(|()| host.set_rules(host_end.index, hook(direction), &rules(ifb.index)));
    match shaped {
        Ok(made_hook) => Ok(Made { ifb, made_hook }),
        Err(error) => {
            undo(host.delete_link(ifb.index));
            Err(error.into())
        }
    }
}

/// Whether the root of the host's end is free for a filter: what somebody else put there is not replaced. What
/// the kernel put there itself has no handle. Returns the filter that is there already.
///
/// # Errors
/// [`Error::OtherRoot`]; what the kernel says.
pub(crate) fn refuse_other_root(host: &mut Rtnetlink, host_end: &Link) -> Result<Option<Tbf>> {
    match host.root_qdisc(host_end.index)? {
        Some(qdisc) if qdisc.handle != 0 && qdisc.tbf.is_none() => {
            Err(Error::OtherRoot { interface: host_end.name.clone(), kind: qdisc.kind })
        }
        found => Ok(found.and_then(|qdisc| qdisc.tbf)),
    }
}

/// Removes the device that this process makes, if there is one: the kernel may have created it although its answer was
/// lost.
fn delete_unfinished(host: &mut Rtnetlink, name: &str) -> linux::Result<()> {
    match host.link_by_name(name)? {
        Some(link) if host.is_maker_of(&link) => host.delete_link(link.index),
        _ => Ok(()),
    }
}

/// Removes what [`make_ifb`] made.
pub(crate) fn undo_ifb(host: &mut Rtnetlink, host_end: &Link, direction: Direction, made: &Made) {
    undo(host.delete_rules(host_end.index, hook(direction)));
    if made.made_hook {
        undo(host.delete_unused_hook(host_end.index));
    }
    undo(host.delete_link(made.ifb.index));
}

/// The first error is the one that a runtime is told; what cannot be undone is for the log.
pub(crate) fn undo(outcome: linux::Result<()>) {
    if let Err(error) = outcome {
        cni::note(format_args!("bandwidth: undoing what failed: {error}"));
    }
}
