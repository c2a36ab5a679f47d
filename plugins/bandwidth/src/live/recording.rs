//! Records a change in an alias.

use cni::Attachment;
use limits::Direction;
use linux::Link;

use super::change::Changing;
use crate::error::Result;
use crate::record;
use crate::recorded::{Record, Recorded};
use crate::shaper::{self, Shaper};

/// The record of a change, and the links that may hold it.
struct Recording {
    host_end: Link,
    /// The ifbs that packets go through now.
    devices: Vec<(Link, Direction)>,
    /// The attachment that the pair belongs to.
    attachment: Option<Attachment>,
    record: Record,
}

impl Changing<'_, '_> {
    pub(super) fn read_record(&mut self) -> Result<Record> {
        let host_end = self.current_host_end()?;
        let devices = self.devices()?;
        let links: Vec<&Link> = devices.iter().map(|(link, _)| link).collect();
        Ok(record::read(&host_end, &links))
    }

    pub(super) fn record(&mut self, recorded: Recorded) -> Result<()> {
        let Recording { host_end, devices, attachment, record } = self.recording(recorded)?;
        let known = attachment.as_ref();
        if record::has_room(&host_end) || devices.is_empty() {
            return record::write(self.kernel.host, &host_end, None, known, &record);
        }
        // Each of them has the whole record: none is left with an old one.
        devices.iter().try_for_each(|(ifb, at)| {
            record::write(self.kernel.host, &host_end, Some((ifb, *at)), known, &record)
        })
    }

    /// Fails before anything is changed when the change could not be recorded.
    pub(super) fn check_room(&mut self, recorded: Recorded, will_have_ifb: bool) -> Result<()> {
        let Recording { host_end, attachment, record, .. } = self.recording(recorded)?;
        // The direction with the longer note.
        let ifb = will_have_ifb.then_some(Direction::Ingress);
        record::alias(&host_end, ifb, attachment.as_ref(), &record).map(|_| ())
    }

    fn recording(&mut self, recorded: Recorded) -> Result<Recording> {
        let host_end = self.current_host_end()?;
        let mut record = self.read_record()?;
        record.set(self.direction, recorded);
        let devices = self.devices()?;
        let mut links = std::iter::once(&host_end).chain(devices.iter().map(|(link, _)| link));
        let attachment = self.pod.attachment.cloned().or_else(|| links.find_map(attachment::named));
        Ok(Recording { host_end, devices, attachment, record })
    }

    /// Returns the host's end as it is now: a change of the other direction may have changed the alias.
    pub(super) fn current_host_end(&mut self) -> Result<Link> {
        Ok(self.kernel.host.link_by_index(self.host_end.index)?.unwrap_or_else(|| self.host_end.clone()))
    }

    /// Returns the ifbs that packets go through now.
    fn devices(&mut self) -> Result<Vec<(Link, Direction)>> {
        let mut devices = Vec::new();
        for direction in [Direction::Egress, Direction::Ingress] {
            let shaper = shaper::find(self.kernel, self.host_end, direction)?;
            devices.extend(shaper.filter(Shaper::at_ifb).map(|shaper| (shaper.link, direction)));
        }
        Ok(devices)
    }

    pub(super) fn has_ifb(&mut self) -> Result<bool> {
        Ok(!self.devices()?.is_empty())
    }
}
