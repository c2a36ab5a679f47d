//! A limit for a direction that nothing shapes.

use linux::{Change, Rule, Tbf};

use super::change::Changing;
use crate::direction::Direction;
use crate::error::Result;
use crate::subnets::{Subnets, hook};
use crate::{ifb, shaper};

impl Changing<'_> {
    /// Shapes a direction that nothing shapes; returns whether it is everything, for want of knowledge. What is
    /// exempt is said by the rules where they lead to a device that only lost its filter, else by the config, else
    /// by rules whose device is gone.
    pub(super) fn make(&mut self, want: &Tbf, was_everything: bool) -> Result<bool> {
        let (index, hook) = (self.host_end.index, hook(self.direction));
        for to in self.host.redirects(index, hook)? {
            let device = self.host.link_by_index(to)?;
            if let Some(device) = device.filter(|device| device.is(ifb::KIND)) {
                shaper::refuse_other_root(self.host, &device)?;
                self.host.set_root_tbf(device.index, want)?;
                return Ok(was_everything);
            }
        }
        let rules = self.host.rules(index, hook)?;
        let direction = self.direction;
        if let Some(subnets) = self.pod.subnets
            && (*subnets != Subnets::All || self.can_have_ifb()?)
        {
            self.make_ifb(want, |ifb| subnets.rules(direction, ifb))?;
            return Ok(false);
        }
        if rules.iter().any(|rule| rule.target().is_some()) {
            self.make_ifb(want, |ifb| rules.iter().map(|rule| rule.redirected_to(ifb)).collect())?;
            return Ok(was_everything);
        }
        if !was_everything && (!rules.is_empty() || self.has_idle_ifb()?) {
            cni::note(format_args!(
                "bandwidth: {direction} of {}: the filters that led to its ifb device are gone, and nobody knows \
                 the pod's config. Everything is limited now, also what shapedSubnets or unshapedSubnets exempted",
                self.host_end.name
            ));
        }
        if self.can_have_ifb()? {
            self.make_ifb(want, |ifb| Subnets::All.rules(direction, ifb))?;
        } else {
            shaper::refuse_other_root(self.host, self.host_end)?;
            self.host.set_root_tbf(index, want)?;
        }
        Ok(self.pod.subnets.is_none())
    }

    fn make_ifb(&mut self, want: &Tbf, rules: impl FnOnce(u32) -> Vec<Rule>) -> Result<()> {
        let attachment = self.pod.attachment;
        let made = shaper::make_ifb(self.host, self.host_end, attachment, self.direction, want, rules)?;
        self.host.make(&[Change::finish(made.ifb.index)])?;
        if attachment.is_none() {
            cni::note(format_args!(
                "bandwidth: nobody knows whose pair {} is. DEL removes its ifb device {} only while the pod's \
                 network namespace is there; after that, remove it by hand",
                self.host_end.name, made.ifb.name
            ));
        }
        Ok(())
    }

    /// Whether there is a device for the direction to which nothing leads.
    fn has_idle_ifb(&mut self) -> Result<bool> {
        let Some(attachment) = self.pod.attachment else {
            return Ok(self.host.link_by_name(&ifb::name_by_pair(self.host_end, self.direction))?.is_some());
        };
        Ok(ifb::all(self.host, attachment)?.iter().any(|ifb| ifb::is_for(ifb, self.direction)))
    }

    /// What leaves the host's end can be sent through an ifb only where there is no `ingress` qdisc.
    pub(super) fn can_have_ifb(&mut self) -> Result<bool> {
        Ok(self.direction == Direction::Egress
            || self.host.hook_kind(self.host_end.index)?.as_deref() != Some("ingress"))
    }
}
