//! Changes a limit while traffic flows. No packet is lost through the change itself.
//!
//! The kernel stops a link for a moment when its root qdisc comes or goes, and when its first hook comes: some
//! tenths of a millisecond up to milliseconds, in which packets to the pod are lost. So a filter is changed in place, and
//! opened instead of removed. Only the first limit of what a pod receives stops the link; the redirection of what it sends
//! comes and goes without.

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

/// The limit that one direction is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Desired {
    /// The one that it has.
    Unchanged,
    /// None.
    Unlimited,
    /// This one.
    Limit {
        /// 1 to 1P; a rate outside becomes the nearest of these.
        rate_bits_per_sec: u64,
        /// The burst; when absent, the one that ADD would choose.
        burst_bits: Option<u64>,
    },
}

/// A pod that gets other limits.
#[derive(Debug, Clone, Copy)]
pub struct Pod<'a> {
    /// The host's end of its pair.
    pub host_end: &'a Link,
    /// The attachment that the pair belongs to: new devices are named after it, so that DEL finds them.
    pub attachment: Option<&'a Attachment>,
    /// The traffic that its config limits; `None` when the config is unknown.
    pub subnets: Option<&'a Subnets>,
}

/// Changes the limits of a pod, and records them at the host's end of its pair. Exempt subnets stay exempt; where they
/// were lost and the config is unknown, everything is limited, and a note on standard error says so. Returns whether
/// anything had to be changed.
///
/// # Errors
/// A change that cannot be recorded, before anything is changed; the kernel's refusal. The steps done until then are
/// recorded.
pub fn change_limits(host: &mut Rtnetlink, pod: &Pod<'_>, ingress: Desired, egress: Desired) -> Result<bool> {
    change_by(&mut Kernel::new(host), pod, ingress, egress)
}

pub(super) fn change_by(
    kernel: &mut Kernel<'_>,
    pod: &Pod<'_>,
    ingress: Desired,
    egress: Desired,
) -> Result<bool> {
    let mut changed = false;
    for (direction, wanted) in [(Direction::Ingress, ingress), (Direction::Egress, egress)] {
        let mut changing = Changing { kernel, host_end: pod.host_end, pod, direction };
        changed |= match wanted {
            Desired::Unchanged => false,
            Desired::Unlimited => changing.remove()?,
            Desired::Limit { rate_bits_per_sec, burst_bits } => {
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
    pub pod: &'a Pod<'a>,
    pub direction: Direction,
}

/// The traffic that is redirected since a change renewed the redirection.
#[derive(PartialEq, Eq)]
enum Renewed {
    /// As the config says, or as before.
    AsBefore,
    /// Everything, as it is not known what the config exempts.
    Everything,
}

impl Changing<'_, '_> {
    fn set(&mut self, limit: Limit) -> Result<bool> {
        let want = shaping::tbf_params(&limit, self.host_end.mtu, &Timing::default());
        shaping::note_bounds(self.direction, &limit, &want);
        let found = shaper::find(self.kernel, self.host_end, self.direction)?;
        let renewed = found.as_ref().map_or(Ok(None), |found| self.renew_redirection(found))?;
        if found.as_ref().is_some_and(|found| want.is_shown_as(&found.tbf)) && self.record_allows(&want)? {
            return Ok(renewed.is_some());
        }
        let before = self.read_record()?.of(self.direction);
        let mut everything =
            before.is_some_and(|before| before.everything) || renewed == Some(Renewed::Everything);
        let will_have_ifb = self.has_ifb()? || (found.is_none() && self.will_make_ifb()?);
        self.check_room(Recorded { limit: Some(limit), everything: true }, will_have_ifb)?;
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
            // Another program removed the limit: from now on there is to be none.
            let stale = before.is_some_and(|before| before.limit.is_some());
            let unblocked = self.stop_dead_redirection()?;
            if stale {
                self.record(unlimited)?;
            }
            return Ok(stale || unblocked);
        };
        let exempts =
            found.place == Place::Class || self.redirected()?.is_some_and(|subnets| subnets != Subnets::All);
        let other_ifb = shaper::find(self.kernel, self.host_end, self.direction.other())?
            .is_some_and(|other| other.at_ifb());
        // Where the pair's alias is another program's, a device must stay for the record.
        let holds_record = !other_ifb && !record::has_room(self.host_end);
        let stays = !found.at_ifb() || exempts || holds_record;
        let unlimited = Recorded { everything: everything && stays, ..unlimited };
        self.check_room(unlimited, other_ifb || (stays && found.at_ifb()))?;
        // Waiting packets leave in order; new ones do not wait any more.
        self.kernel.host.change_tbf(found.link.index, &found.qdisc, &Tbf::OPEN, None)?;
        if !stays {
            self.delete_ifb(&found)?;
        }
        self.record(unlimited)?;
        Ok(true)
    }

    /// Stops the redirection to a device that is gone. Returns whether there was one.
    fn stop_dead_redirection(&mut self) -> Result<bool> {
        for (to, _) in redirection::targets(self.kernel, self.host_end, self.direction)? {
            if self.kernel.host.link_by_index(to)?.is_none() {
                redirection::stop(self.kernel, self.host_end, self.direction)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the traffic that is redirected to an ifb now.
    pub(super) fn redirected(&mut self) -> Result<Option<Subnets>> {
        redirection::subnets(self.kernel, self.host_end, self.direction)
    }

    /// Replaces filters of an earlier weir or of the reference that redirect what a pod sends by a chain, which no program
    /// comes before, where the kernel can do that. Creates a chain again that lost rules.
    fn renew_redirection(&mut self, found: &Shaper) -> Result<Option<Renewed>> {
        let redirected = self.redirected()?;
        let subnets = match (&found.place, redirected) {
            (Place::Ifb(Way::Rules), subnets) if self.direction == Direction::Egress => {
                subnets.unwrap_or_default()
            }
            (Place::Ifb(Way::Chain(_)), None) => self.pod.subnets.cloned().unwrap_or_default(),
            _ => return Ok(None),
        };
        let is_unknown = found.place != Place::Ifb(Way::Rules) && self.pod.subnets.is_none();
        let Pod { host_end, attachment, .. } = *self.pod;
        let is_renewed =
            redirection::start_by_chain(self.kernel, host_end, attachment, &subnets, found.link.index)?;
        Ok(is_renewed.then_some(if is_unknown { Renewed::Everything } else { Renewed::AsBefore }))
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
