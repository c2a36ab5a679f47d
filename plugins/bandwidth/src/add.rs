//! ADD: shapes both directions, or neither.

use cni::{AddResult, Attachment, Failure, Interface, Request};
use limits::{Direction, Limit};
use linux::{Change, Link, Rtnetlink};

use crate::config::Settings;
use crate::error::{Error, Result};
use crate::host_end::{self, Pair};
use crate::kernel::Kernel;
use crate::layout::{Layout, Made, undo, undo_ifb};
use crate::record;
use crate::shaper::Root;
use crate::shaping;

pub(crate) fn add(request: &Request) -> Result<AddResult> {
    let settings = Settings::of_call(request)?;
    let mut result = request.prev_result.clone().ok_or_else(Failure::not_chained)?;
    if settings.is_empty() {
        return Ok(result);
    }
    let mut host = Rtnetlink::open()?;
    let Pair { host_end, .. } = host_end::find(request, &mut host)?;
    let attachment = request.attachment();
    let kernel = Kernel::new(&mut host);
    let mut adding = Adding { kernel, host_end, attachment, settings: &settings, steps: Vec::new() };
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
    kernel: Kernel<'a>,
    host_end: Link,
    attachment: Attachment,
    settings: &'a Settings,
    steps: Vec<Step>,
}

/// A change to undo, also when it is unknown whether it was made: the kernel's answer may be lost.
enum Step {
    /// A filter or classes at the root of the host's end, and the qdisc before.
    Root(Root),
    /// An ifb that a direction is redirected to.
    Ifb(Direction, Made),
    /// The alias of the host's end.
    Alias,
}

impl Adding<'_> {
    /// Writes the alias first: DEL and GC find by it what a killed ADD left at the pair of another plugin.
    fn shape(&mut self) -> Result<()> {
        self.identify()?;
        for direction in [Direction::Ingress, Direction::Egress] {
            if let Some(limit) = self.settings.of(direction) {
                self.limit(direction, &limit)?;
            }
        }
        // An unfinished device is taken for that of an ADD that was killed.
        let finished: Vec<Change> = self.ifbs().map(|ifb| Change::finish(ifb.index)).collect();
        Ok(self.kernel.host.apply(&finished)?)
    }

    fn limit(&mut self, direction: Direction, limit: &Limit) -> Result<()> {
        let tbf = shaping::tbf_params(limit, self.host_end.mtu, &self.settings.timing);
        shaping::note_bounds(direction, limit, &tbf);
        let (host_end, attachment) = (&self.host_end, Some(&self.attachment));
        let layout = Layout { host_end, attachment, direction, subnets: &self.settings.subnets };
        if direction == Direction::Ingress {
            let root = Root::of(self.kernel.host, host_end)?;
            self.steps.push(Step::Root(root.clone()));
            if layout.make_at_root(&mut self.kernel, &root, &tbf)? {
                return Ok(());
            }
        }
        let made = layout.make_ifb(&mut self.kernel, &tbf)?;
        self.steps.push(Step::Ifb(direction, made));
        Ok(())
    }

    fn identify(&mut self) -> Result<()> {
        self.steps.push(Step::Alias);
        match record::identify(self.kernel.host, &self.host_end, &self.attachment) {
            Err(error @ Error::RecordTooLong(_)) => {
                let name = &self.host_end.name;
                cni::note(format_args!(
                    "bandwidth: the alias of {name} does not name its attachment: {error}"
                ));
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Returns the devices, the one for what the pod sends first.
    fn ifbs(&self) -> impl Iterator<Item = &Link> {
        self.steps.iter().rev().filter_map(|step| match step {
            Step::Ifb(_, made) => Some(&made.ifb),
            Step::Root(_) | Step::Alias => None,
        })
    }

    fn undo(mut self) {
        let (kernel, link) = (&mut self.kernel, self.host_end.index);
        for step in self.steps.into_iter().rev() {
            match step {
                Step::Root(Root::Filter(before)) => {
                    if matches!(Root::of(kernel.host, &self.host_end), Ok(Root::Classes(_))) {
                        undo(kernel.host.delete_root_qdisc(link));
                    }
                    let before =
                        before.tbf.map(|before| kernel.host.apply(&[Change::set_root_tbf(link, &before)]));
                    before.into_iter().for_each(undo);
                }
                Step::Root(Root::Free | Root::Classes(_)) => undo(kernel.host.delete_root_qdisc(link)),
                Step::Root(Root::Other) => {}
                Step::Ifb(direction, made) => undo_ifb(kernel, &self.host_end, direction, &made),
                Step::Alias => {
                    let before = self.host_end.alias.as_deref().unwrap_or_default();
                    undo(kernel.host.apply(&[Change::set_alias(link, before)]));
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
