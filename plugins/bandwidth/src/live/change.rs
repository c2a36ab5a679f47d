//! A limit is changed while traffic flows, and nothing is lost through the change itself.
//!
//! The kernel stops a link for a moment when its root qdisc comes or goes, and when its first hook comes: some
//! tenths of a millisecond up to milliseconds, in which what is sent to the pod is lost. So a filter that is there
//! is changed in place, and opened instead of removed. Only the first limit of what a pod receives makes it stand that
//! moment; what leads packets that it sends to an ifb comes and goes without.

use cni::Attachment;
use limits::{Burst, Direction, Limit, RATES};
use linux::{Link, Rtnetlink, Tbf};

use crate::error::Result;
use crate::kernel::Kernel;
use crate::record;
use crate::recorded::Recorded;
use crate::redirection::{self, Way};
use crate::shaper::{self, Place, Shaper};
use crate::shaping;
use crate::subnets::Subnets;
use crate::timing::Timing;

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

/// What is known of a pod whose limits are to be changed.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The host's end of its pair.
    pub host_end: &'a Link,
    /// Whose it is: new devices are named after it, so that DEL finds them.
    pub attachment: Option<&'a Attachment>,
    /// What its config exempts; `None` when nobody knows the config.
    pub subnets: Option<&'a Subnets>,
}

/// Changes the limits of a pod, and records it at the host's end of its pair. The exempt subnets stay what they
/// are; where they were lost, and nobody knows them, everything is limited and that is said on standard error.
/// Returns whether anything had to be changed.
///
/// # Errors
/// A change that cannot be recorded, before anything is changed; otherwise what the kernel says. The steps done until
/// then are recorded.
pub fn change(host: &mut Rtnetlink, pod: &Known<'_>, ingress: Change, egress: Change) -> Result<bool> {
    change_by(&mut Kernel::new(host), pod, ingress, egress)
}

pub(super) fn change_by(
    kernel: &mut Kernel<'_>,
    pod: &Known<'_>,
    ingress: Change,
    egress: Change,
) -> Result<bool> {
    let mut changed = false;
    for (direction, wanted) in [(Direction::Ingress, ingress), (Direction::Egress, egress)] {
        let mut changing = Changing { kernel, host_end: pod.host_end, pod, direction };
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
pub(super) struct Changing<'a, 'k> {
    pub kernel: &'a mut Kernel<'k>,
    pub host_end: &'a Link,
    pub pod: &'a Known<'a>,
    pub direction: Direction,
}

/// What is led to an ifb since a change led it anew.
#[derive(PartialEq, Eq)]
enum Led {
    /// What the config says, or was led before.
    AsBefore,
    /// Everything, for it is not known what the config exempts.
    Everything,
}

impl Changing<'_, '_> {
    fn set(&mut self, limit: Limit) -> Result<bool> {
        let want = shaping::tbf_params(&limit, self.host_end.mtu, &Timing::default());
        shaping::note_bounds(self.direction, &limit, &want);
        let found = shaper::find(self.kernel, self.host_end, self.direction)?;
        let led_anew = found.as_ref().map_or(Ok(None), |found| self.lead_better(found))?;
        if found.as_ref().is_some_and(|found| want.is_shown_as(&found.tbf)) && self.record_allows(&want)? {
            return Ok(led_anew.is_some());
        }
        let before = self.read_record()?.of(self.direction);
        let mut everything =
            before.is_some_and(|before| before.everything) || led_anew == Some(Led::Everything);
        let will_have_ifb = self.has_ifb()? || (found.is_none() && self.will_make_ifb()?);
        self.needs_place(Recorded { limit: Some(limit), everything: true }, will_have_ifb)?;
        match found {
            Some(found) => self.retune(&found, &want)?,
            None => everything = self.make(&want, everything)?,
        }
        self.record(Recorded { limit: Some(limit), everything })?;
        Ok(true)
    }

    fn remove(&mut self) -> Result<bool> {
        let found =
            shaper::find(self.kernel, self.host_end, self.direction)?.filter(|found| !found.tbf.is_open());
        let before = self.read_record()?.of(self.direction);
        let everything = before.is_some_and(|before| before.everything);
        let unlimited = Recorded { limit: None, everything };
        let Some(found) = found else {
            // Removed behind our back: from now on that is as it should be.
            let stale = before.is_some_and(|before| before.limit.is_some());
            let unblocked = self.delete_dead_ends()?;
            if stale {
                self.record(unlimited)?;
            }
            return Ok(stale || unblocked);
        };
        let exempts = found.place == Place::Class || self.led()?.is_some_and(|led| led != Subnets::All);
        let other_ifb = shaper::find(self.kernel, self.host_end, self.direction.other())?
            .is_some_and(|other| other.at_ifb());
        // Where the pair's alias is somebody else's, a device must stay for the record.
        let holds_record = !other_ifb && !record::has_room(self.host_end);
        let stays = !found.at_ifb() || exempts || holds_record;
        let unlimited = Recorded { everything: everything && stays, ..unlimited };
        self.needs_place(unlimited, other_ifb || (stays && found.at_ifb()))?;
        // What waits goes its way in order; what comes does not wait any more.
        self.kernel.host.change_tbf(found.link.index, &found.qdisc, &Tbf::OPEN, None)?;
        if !stays {
            self.delete_ifb(&found)?;
        }
        self.record(unlimited)?;
        Ok(true)
    }

    /// Leads packets nowhere any more when the device that they are led to is gone; tells whether it was.
    fn delete_dead_ends(&mut self) -> Result<bool> {
        for (to, _) in redirection::targets(self.kernel, self.host_end, self.direction)? {
            if self.kernel.host.link_by_index(to)?.is_none() {
                redirection::stop(self.kernel, self.host_end, self.direction)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Which traffic is led to an ifb now.
    pub(super) fn led(&mut self) -> Result<Option<Subnets>> {
        redirection::subnets(self.kernel, self.host_end, self.direction)
    }

    /// What a pod sends and filters lead to an ifb, as of an earlier weir or of the reference, is led by a chain from
    /// now on, which no program comes before, where the kernel can do that. A chain that lost rules is made anew. Tells
    /// what is led since then.
    fn lead_better(&mut self, found: &Shaper) -> Result<Option<Led>> {
        let led = self.led()?;
        let subnets = match (&found.place, led) {
            (Place::Ifb(Way::Rules), led) if self.direction == Direction::Egress => led.unwrap_or_default(),
            (Place::Ifb(Way::Chain(_)), None) => self.pod.subnets.cloned().unwrap_or_default(),
            _ => return Ok(None),
        };
        let is_unknown = found.place != Place::Ifb(Way::Rules) && self.pod.subnets.is_none();
        let Known { host_end, attachment, .. } = *self.pod;
        let led = redirection::lead_by_chain(self.kernel, host_end, attachment, &subnets, found.link.index)?;
        Ok(led.then_some(if is_unknown { Led::Everything } else { Led::AsBefore }))
    }

    fn record_allows(&mut self, want: &Tbf) -> Result<bool> {
        Ok(match self.read_record()?.of(self.direction) {
            None => true,
            Some(Recorded { limit: None, .. }) => false,
            Some(Recorded { limit: Some(limit), .. }) => {
                shaping::tbf_params(&limit, self.host_end.mtu, &Timing::default()) == *want
            }
        })
    }
}
