//! Changes a filter while packets wait in its queue. None of them is lost.

use std::thread::sleep;
use std::time::{Duration, Instant};

use linux::Tbf;

use super::change::Changing;
use crate::error::Result;
use crate::redirection;
use crate::shaper::Shaper;

/// The largest packet (`GSO_MAX_SIZE` in linux/netdevice.h).
const LARGEST_PACKET: u32 = 8 * 65_536;
/// A queue is drained within 20 ms.
const DRAINS_PER_SECOND: u64 = 50;
/// The longest wait for a queue to drain.
const PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(1);

impl Changing<'_, '_> {
    /// Stops the redirection, waits until the packets on their way to the device have come and none waits in it, and deletes
    /// it. Filters of the reference plugin are not weir's to remove: with those the device stays, open.
    pub(super) fn delete_ifb(&mut self, found: &Shaper) -> Result<()> {
        redirection::stop(self.kernel, self.host_end, self.direction)?;
        let targets = redirection::targets(self.kernel, self.host_end, self.direction)?;
        if targets.iter().any(|(to, _)| *to == found.link.index) {
            return Ok(());
        }
        linux::wait_for_grace_period()?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.kernel.host.root_qdisc(found.link.index)? {
                Some(qdisc) if qdisc.statistics.backlog_packets > 0 => sleep(POLL),
                _ => break,
            }
        }
        Ok(self.kernel.host.delete_link(found.link.index)?)
    }

    /// Changes a filter in place. A waiting packet that is larger than the new burst would wait forever: no new one of that
    /// size is let in, and the queue is drained first.
    pub(super) fn retune(&mut self, found: &Shaper, want: &Tbf) -> Result<()> {
        let (link, qdisc) = (found.link.index, &found.qdisc);
        // Nothing ever waits in an open filter.
        let may_hold_larger = !found.tbf.is_open() && want.burst_bytes < found.tbf.burst_bytes;
        if may_hold_larger && want.burst_bytes < LARGEST_PACKET {
            let mut opening = Tbf {
                rate_bytes_per_sec: found.tbf.rate_bytes_per_sec.max(want.rate_bytes_per_sec),
                burst_bytes: found.tbf.burst_bytes,
                limit_bytes: found.tbf.limit_bytes.max(want.limit_bytes),
            };
            self.kernel.host.change_tbf(link, qdisc, &opening, Some(want.burst_bytes))?;
            let waiting = found.now(self.kernel.host)?.map(|qdisc| qdisc.statistics).unwrap_or_default();
            if waiting.backlog_bytes > 0 {
                let in_time = u64::from(waiting.backlog_bytes) * DRAINS_PER_SECOND;
                opening.rate_bytes_per_sec = opening.rate_bytes_per_sec.max(in_time);
                // At another rate the burst is another time; the largest packet must still pass.
                opening.burst_bytes = opening.burst_bytes.max(LARGEST_PACKET);
                self.kernel.host.change_tbf(link, qdisc, &opening, Some(want.burst_bytes))?;
                self.wait_for(found, waiting.bytes + u64::from(waiting.backlog_bytes))?;
            }
        }
        Ok(self.kernel.host.change_tbf(link, qdisc, want, None)?)
    }

    /// Waits until this many bytes have passed.
    fn wait_for(&mut self, found: &Shaper, bytes: u64) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let now = found.now(self.kernel.host)?.map(|qdisc| qdisc.statistics).unwrap_or_default();
            if now.bytes >= bytes || now.backlog_packets == 0 {
                break;
            }
            sleep(POLL);
        }
        Ok(())
    }
}
