//! A limit is changed while traffic flows, and nothing is lost through the change itself.
//!
//! The kernel stops a link for a moment when its root qdisc comes or goes, and when its first hook comes: some
//! tenths of a millisecond up to milliseconds, in which what is sent to the pod is lost. So a filter that is there
//! is changed in place, and opened instead of removed; and a new one for what the pod receives sits at an ifb.
//! Only a pair that never had a hook must stand the moment in which it gets one.

use std::thread::sleep;
use std::time::{Duration, Instant};

use cni::Attachment;
use linux::{Link, Rtnetlink, Rule, Tbf};

use crate::burst::Burst;
use crate::choice::Choice;
use crate::config::Limit;
use crate::direction::Direction;
use crate::error::Result;
use crate::ifb;
use crate::quantity::RATES;
use crate::record::{self, Record, Recorded};
use crate::shaper::{self, Shaper};
use crate::shaping;
use crate::subnets::{Subnets, hook};

/// What becomes of the limit of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It stays as it is.
    Keep,
    /// It goes.
    Remove,
    /// It is this one from now on.
    Set {
        /// Bits per second, 1 to 1P; what is outside becomes the nearest of these.
        rate_bits_per_sec: u64,
        /// What may pass at once, in bits; when absent, as much as ADD would choose.
        burst_bits: Option<u64>,
    },
}

/// No packet is larger (`GSO_MAX_SIZE` in linux/netdevice.h).
const LARGEST_PACKET: u32 = 8 * 65_536;
/// A queue is let out within 20 ms.
const DRAINS_PER_SECOND: u64 = 50;
/// How long a queue may take that no traffic pushes.
const PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(1);

/// What is known of a pod whose limits are to be changed.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The host's end of its pair.
    pub host_end: &'a Link,
    /// Whose it is: new devices are named after it, so that DEL finds them.
    pub attachment: Option<&'a Attachment>,
    /// What its config exempts; `None` when nobody knows the config. What the kernel still shows counts more.
    pub subnets: Option<&'a Subnets>,
}

/// Changes the limits of a pod, and records it at the host's end of its pair. The exempt subnets stay what they
/// are; where they were lost, and nobody knows them, everything is limited and that is said on standard error.
/// Returns whether anything had to be changed.
///
/// # Errors
/// [`Error::NoPlaceForRecord`](crate::Error::NoPlaceForRecord) and
/// [`Error::RecordTooLong`](crate::Error::RecordTooLong) before anything is changed; otherwise what the kernel says. What was done until
/// then is recorded.
pub fn change(host: &mut Rtnetlink, pod: &Known<'_>, ingress: Change, egress: Change) -> Result<bool> {
    let mut changed = false;
    for (direction, wanted) in [(Direction::Ingress, ingress), (Direction::Egress, egress)] {
        let mut changing = Changing { host, host_end: pod.host_end, pod, direction };
        changed |= match wanted {
            Change::Keep => false,
            Change::Remove => changing.remove()?,
            Change::Set { rate_bits_per_sec, burst_bits } => {
                let burst = burst_bits.map_or(Burst::NotChosen, |bits| Burst::Chosen { bits: bits.max(1) });
                changing.set(Limit { rate_bits_per_sec: rate_bits_per_sec.clamp(1, *RATES.end()), burst })?
            }
        };
    }
    Ok(changed)
}

/// One direction of a pair.
struct Changing<'a> {
    host: &'a mut Rtnetlink,
    host_end: &'a Link,
    pod: &'a Known<'a>,
    direction: Direction,
}

impl Changing<'_> {
    fn set(&mut self, limit: Limit) -> Result<bool> {
        let want = shaper::numbers(self.direction, &limit, self.host_end.mtu, &Choice::default());
        let found = shaper::find(self.host, self.host_end, self.direction)?;
        if found.as_ref().is_some_and(|found| is_same(&found.tbf, &want)) && self.record_allows(&want)? {
            return Ok(false);
        }
        let before = self.read_record()?.of(self.direction);
        let mut everything = before.is_some_and(|before| before.everything);
        let will_have_ifb = self.has_ifb()? || (found.is_none() && self.can_have_ifb()?);
        self.needs_place(Recorded { limit: Some(limit), everything: true }, will_have_ifb)?;
        match found {
            Some(found) => self.retune(&found, &want)?,
            None => everything = self.make(&want, everything)?,
        }
        self.record(Recorded { limit: Some(limit), everything })?;
        Ok(true)
    }

    /// Shapes a direction that nothing shapes; returns whether it is everything, for want of knowledge. What was
    /// exempt before is still said by the rules, as long as they lead to a device that lost its filter, or to one
    /// that is gone.
    fn make(&mut self, want: &Tbf, was_everything: bool) -> Result<bool> {
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
        let Some(attachment) = self.pod.attachment else { return Ok(false) };
        Ok(ifb::all(self.host, attachment)?.iter().any(|ifb| ifb::is_for(ifb, self.direction)))
    }

    fn remove(&mut self) -> Result<bool> {
        let found =
            shaper::find(self.host, self.host_end, self.direction)?.filter(|found| !found.tbf.is_open());
        let before = self.read_record()?.of(self.direction);
        let everything = before.is_some_and(|before| before.everything);
        let unlimited = Recorded { limit: None, everything };
        let Some(found) = found else {
            // Removed behind our back: from now on that is as it should be.
            let stale = before.is_some_and(|before| before.limit.is_some());
            if stale {
                self.record(unlimited)?;
            }
            return Ok(stale);
        };
        let rules = self.host.rules(self.host_end.index, hook(self.direction))?;
        let exempts = rules.iter().any(|rule| !rule.is_everything());
        let other_ifb =
            shaper::find(self.host, self.host_end, self.direction.other())?.is_some_and(|other| other.at_ifb);
        // Where the pair's alias is somebody else's, a device must stay for the record.
        let holds_record = !other_ifb && !record::has_room(self.host_end);
        let stays = !found.at_ifb || exempts || holds_record;
        let unlimited = Recorded { everything: everything && stays, ..unlimited };
        self.needs_place(unlimited, other_ifb || (stays && found.at_ifb))?;
        // What waits goes its way in order; what comes does not wait any more.
        self.host.change_root_tbf(found.link.index, found.qdisc.handle, &Tbf::OPEN, None)?;
        if !stays {
            self.delete_ifb(&found)?;
        }
        self.record(unlimited)?;
        Ok(true)
    }

    /// The packets go past the device first, then it goes, when nothing waits in it any more. Filters of the
    /// reference plugin are not ours to remove: with those the device stays, open.
    fn delete_ifb(&mut self, found: &Shaper) -> Result<()> {
        self.host.delete_rules(self.host_end.index, hook(self.direction))?;
        let redirects = self.host.redirects(self.host_end.index, hook(self.direction))?;
        if redirects.contains(&found.link.index) {
            return Ok(());
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.host.root_qdisc(found.link.index)? {
                Some(qdisc) if qdisc.statistics.backlog_packets > 0 => sleep(POLL),
                _ => break,
            }
        }
        Ok(self.host.delete_link(found.link.index)?)
    }

    /// Changes a filter in place. Packets that wait may be larger than the new burst, and would wait forever
    /// then: no new ones of that size are let in, and those that are there are let out first.
    fn retune(&mut self, found: &Shaper, want: &Tbf) -> Result<()> {
        let (link, handle) = (found.link.index, found.qdisc.handle);
        // Nothing ever waits in an open filter.
        let may_hold_larger = !found.tbf.is_open() && want.burst_bytes < found.tbf.burst_bytes;
        if may_hold_larger && want.burst_bytes < LARGEST_PACKET {
            let mut opening = Tbf {
                rate_bytes_per_sec: found.tbf.rate_bytes_per_sec.max(want.rate_bytes_per_sec),
                burst_bytes: found.tbf.burst_bytes,
                limit_bytes: found.tbf.limit_bytes.max(want.limit_bytes),
            };
            self.host.change_root_tbf(link, handle, &opening, Some(want.burst_bytes))?;
            let waiting = self.host.root_qdisc(link)?.map(|qdisc| qdisc.statistics).unwrap_or_default();
            if waiting.backlog_bytes > 0 {
                let in_time = u64::from(waiting.backlog_bytes) * DRAINS_PER_SECOND;
                opening.rate_bytes_per_sec = opening.rate_bytes_per_sec.max(in_time);
                // At another rate the burst is another time; the largest packet must still pass.
                opening.burst_bytes = opening.burst_bytes.max(LARGEST_PACKET);
                self.host.change_root_tbf(link, handle, &opening, Some(want.burst_bytes))?;
                self.wait_for(link, waiting.bytes + u64::from(waiting.backlog_bytes))?;
            }
        }
        Ok(self.host.change_root_tbf(link, handle, want, None)?)
    }

    /// Until so many bytes have passed.
    fn wait_for(&mut self, link: u32, bytes: u64) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let now = self.host.root_qdisc(link)?.map(|qdisc| qdisc.statistics).unwrap_or_default();
            if now.bytes >= bytes || now.backlog_packets == 0 {
                break;
            }
            sleep(POLL);
        }
        Ok(())
    }

    /// What leaves the host's end can be sent through an ifb only where there is no `ingress` qdisc.
    fn can_have_ifb(&mut self) -> Result<bool> {
        Ok(self.direction == Direction::Egress
            || self.host.hook_kind(self.host_end.index)?.as_deref() != Some("ingress"))
    }

    fn record_allows(&mut self, want: &Tbf) -> Result<bool> {
        Ok(match self.read_record()?.of(self.direction) {
            None => true,
            Some(Recorded { limit: None, .. }) => false,
            Some(Recorded { limit: Some(limit), .. }) => {
                shaping::tbf(&limit, self.host_end.mtu, &Choice::default()) == *want
            }
        })
    }

    fn read_record(&mut self) -> Result<Record> {
        let host_end = self.current_host_end()?;
        let devices = self.devices()?;
        let links: Vec<&Link> = devices.iter().map(|(link, _)| link).collect();
        Ok(record::read(&host_end, &links))
    }

    fn record(&mut self, recorded: Recorded) -> Result<()> {
        let host_end = self.current_host_end()?;
        let mut record = self.read_record()?;
        record.set(self.direction, recorded);
        let devices = self.devices()?;
        let known = self.attachment(&host_end, &devices);
        let known = known.as_ref();
        if record::has_room(&host_end) || devices.is_empty() {
            return record::write(self.host, &host_end, None, known, &record);
        }
        // Each of them has the whole record: none is left with an old one.
        devices
            .iter()
            .try_for_each(|(ifb, at)| record::write(self.host, &host_end, Some((ifb, *at)), known, &record))
    }

    /// Whose pair it is.
    fn attachment(&self, host_end: &Link, devices: &[(Link, Direction)]) -> Option<Attachment> {
        let mut links = std::iter::once(host_end).chain(devices.iter().map(|(link, _)| link));
        self.pod.attachment.cloned().or_else(|| links.find_map(record::attachment))
    }

    /// The direction before may have changed the alias.
    fn current_host_end(&mut self) -> Result<Link> {
        Ok(self.host.link_by_index(self.host_end.index)?.unwrap_or_else(|| self.host_end.clone()))
    }

    /// The ifbs that packets go through now.
    fn devices(&mut self) -> Result<Vec<(Link, Direction)>> {
        let mut devices = Vec::new();
        for direction in [Direction::Egress, Direction::Ingress] {
            let shaper = shaper::find(self.host, self.host_end, direction)?;
            devices.extend(shaper.filter(|shaper| shaper.at_ifb).map(|shaper| (shaper.link, direction)));
        }
        Ok(devices)
    }

    fn has_ifb(&mut self) -> Result<bool> {
        Ok(!self.devices()?.is_empty())
    }

    /// Before anything is changed: whether the change can be recorded after it.
    fn needs_place(&mut self, recorded: Recorded, will_have_ifb: bool) -> Result<()> {
        let host_end = self.current_host_end()?;
        let mut record = self.read_record()?;
        record.set(self.direction, recorded);
        let devices = self.devices()?;
        let known = self.attachment(&host_end, &devices);
        // The device with the longer alias, whichever there are.
        let ifb = will_have_ifb.then_some(Direction::Ingress);
        record::alias(&host_end, ifb, known.as_ref(), &record).map(|_| ())
    }
}

/// Whether the filter that the kernel shows is the one that is wanted.
fn is_same(shown: &Tbf, want: &Tbf) -> bool {
    shown.rate_bytes_per_sec == want.rate_bytes_per_sec
        && shown.limit_bytes == want.limit_bytes
        && want.allows_burst(shown.burst_bytes)
}
