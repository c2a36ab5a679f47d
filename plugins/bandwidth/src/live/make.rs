//! Limits a direction that no filter shapes.

use limits::Direction;
use linux::{Change, Tbf};

use super::change::Changing;
use crate::error::Result;
use crate::layout::{Layout, Made};
use crate::shaper::Root;
use crate::subnets::Subnets;
use crate::{ifb, record, redirection};

impl Changing<'_, '_> {
    /// Limits the direction. Returns whether everything is limited, as it is not known what the config exempts. The exempt
    /// subnets are those of the redirection to a device that only lost its filter, else those of the config, else those of
    /// the redirection to a device that is gone.
    pub(super) fn make(&mut self, want: &Tbf, was_everything: bool) -> Result<bool> {
        for (to, _) in redirection::targets(self.kernel, self.host_end, self.direction)? {
            let device = self.kernel.host.link_by_index(to)?.filter(|device| device.is(ifb::KIND));
            let root = device.as_ref().map(|device| Root::of(self.kernel.host, device)).transpose()?;
            if let Some((device, Root::Free | Root::Filter(_))) = device.zip(root) {
                self.kernel.host.apply(&[Change::set_root_tbf(device.index, want)])?;
                return Ok(was_everything);
            }
        }
        let redirected = self.redirected()?;
        if let Some(subnets) = self.pod.subnets {
            self.limit(want, subnets)?;
            return Ok(false);
        }
        if let Some(subnets) = redirected.filter(|subnets| *subnets != Subnets::All) {
            self.limit(want, &subnets)?;
            return Ok(was_everything);
        }
        if !was_everything && self.has_idle_ifb()? {
            cni::note(format_args!(
                "bandwidth: {} of {}: the redirection to its ifb device is gone, and the pod's config is unknown. \
                 Everything is limited now, also what shapedSubnets or unshapedSubnets exempted",
                self.direction, self.host_end.name
            ));
        }
        self.limit(want, &Subnets::All)?;
        Ok(true)
    }

    fn limit(&mut self, want: &Tbf, subnets: &Subnets) -> Result<()> {
        let attachment = self.pod.attachment;
        let layout = Layout { host_end: self.host_end, attachment, direction: self.direction, subnets };
        let made = if self.will_make_ifb()? {
            Some(layout.make_ifb(self.kernel, want)?)
        } else {
            layout.make(self.kernel, want)?
        };
        let Some(Made { ifb, .. }) = made else { return Ok(()) };
        self.kernel.host.apply(&[Change::finish(ifb.index)])?;
        if attachment.is_none() {
            cni::note(format_args!(
                "bandwidth: the attachment of {} is unknown. DEL removes its ifb device {} only while \
                 the pod's network namespace is there; after that, remove it by hand",
                self.host_end.name, ifb.name
            ));
        }
        Ok(())
    }

    /// Whether there is a device for the direction, which no packets are redirected to.
    fn has_idle_ifb(&mut self) -> Result<bool> {
        let Some(attachment) = self.pod.attachment else {
            let name = ifb::name_by_pair(self.host_end, self.direction);
            return Ok(self.kernel.host.link_by_name(&name)?.is_some());
        };
        let devices = ifb::all(self.kernel.host, attachment)?;
        Ok(devices.iter().any(|ifb| ifb::is_for(ifb, self.direction)))
    }

    /// Whether the limit will sit at an ifb: always for what the pod sends; for what it receives where the root is another
    /// qdisc, or where the record has no other place.
    pub(super) fn will_make_ifb(&mut self) -> Result<bool> {
        if self.direction == Direction::Egress {
            return Ok(true);
        }
        let is_taken = matches!(Root::of(self.kernel.host, self.host_end)?, Root::Other);
        Ok(is_taken || (!record::has_room(&self.current_host_end()?) && !self.has_ifb()?))
    }
}
