//! ADD: shape both directions, or neither.

use cni::{AddResult, Attachment, Interface, Request};
use linux::{Change, Link, Rtnetlink, Tbf};

use crate::config::{Limit, Limits};
use crate::direction::Direction;
use crate::error::{Error, Result};
use crate::host_end::{self, Pair};
use crate::record;
use crate::shaper::{self, Made, make_ifb, refuse_other_root, undo, undo_ifb};
use crate::subnets::Subnets;

pub(crate) fn add(request: &Request) -> Result<AddResult> {
    let limits = Limits::of_call(request)?;
    let mut result = request.prev_result.clone().ok_or(Error::NotChained)?;
    if limits.is_empty() {
        return Ok(result);
    }
    let mut host = Rtnetlink::open()?;
    let Pair { host_end, .. } = host_end::find(request, &mut host)?;
    let attachment = request.attachment();
    let mut adding = Adding { host, host_end, attachment, limits: &limits, steps: Vec::new() };
    if let Err(error) = adding.shape() {
        adding.undo();
        return Err(error);
    }
    // At the end: addresses refer to the interfaces before by their place.
    result.interfaces.extend(adding.ifbs().map(interface));
    Ok(result)
}

/// An ADD and what it has changed so far.
struct Adding<'a> {
    host: Rtnetlink,
    host_end: Link,
    attachment: Attachment,
    limits: &'a Limits,
    steps: Vec<Step>,
}

/// Something that is to be undone, even if nobody knows whether it was done: the kernel's answer may be lost.
enum Step {
    /// A filter at the root of the host's end, and the one that was there.
    Root(Option<Tbf>),
    /// An ifb that a direction is sent through.
    Ifb(Direction, Made),
    /// The alias of the host's end.
    Alias,
}

impl Adding<'_> {
    /// The alias comes first: DEL and GC find by it what a killed ADD left at the pair of another plugin.
    fn shape(&mut self) -> Result<()> {
        self.identify()?;
        for direction in [Direction::Ingress, Direction::Egress] {
            if let Some(limit) = self.limits.of(direction) {
                self.limit(direction, &limit)?;
            }
        }
        // From now on they are not taken for the devices of an ADD that was killed.
        let finished: Vec<Change> = self.ifbs().map(|ifb| Change::finish(ifb.index)).collect();
        Ok(self.host.make(&finished)?)
    }

    fn limit(&mut self, direction: Direction, limit: &Limit) -> Result<()> {
        let tbf = shaper::numbers(direction, limit, self.host_end.mtu, &self.limits.choice);
        if direction == Direction::Ingress && self.limits.subnets == Subnets::All {
            let before = refuse_other_root(&mut self.host, &self.host_end)?;
            self.steps.push(Step::Root(before));
            return Ok(self.host.set_root_tbf(self.host_end.index, &tbf)?);
        }
        let rules = |ifb| self.limits.subnets.rules(direction, ifb);
        let attachment = Some(&self.attachment);
        let made = make_ifb(&mut self.host, &self.host_end, attachment, direction, &tbf, rules)?;
        self.steps.push(Step::Ifb(direction, made));
        Ok(())
    }

    fn identify(&mut self) -> Result<()> {
        self.steps.push(Step::Alias);
        match record::identify(&mut self.host, &self.host_end, &self.attachment) {
            Err(error @ Error::RecordTooLong { .. }) => {
                let name = &self.host_end.name;
                cni::note(format_args!("bandwidth: {name} does not say whose it is: {error}"));
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// The devices, that for what the pod sends first.
    fn ifbs(&self) -> impl Iterator<Item = &Link> {
        self.steps.iter().rev().filter_map(|step| match step {
            Step::Ifb(_, made) => Some(&made.ifb),
            Step::Root(_) | Step::Alias => None,
        })
    }

    fn undo(mut self) {
        let host = &mut self.host;
        for step in self.steps.into_iter().rev() {
            match step {
                Step::Root(Some(before)) => undo(host.set_root_tbf(self.host_end.index, &before)),
                Step::Root(None) => undo(host.delete_root_qdisc(self.host_end.index)),
                Step::Ifb(direction, made) => undo_ifb(host, &self.host_end, direction, &made),
                Step::Alias => {
                    let before = self.host_end.alias.as_deref().unwrap_or_default();
                    undo(host.set_alias(self.host_end.index, before));
                }
            }
        }
    }
}

fn interface(ifb: &Link) -> Interface {
    Interface {
        name: ifb.name.clone(),
        mac: ifb.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        ..Interface::default()
    }
}
