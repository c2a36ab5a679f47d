//! The token bucket filter: a rate, a burst, and the length of the queue.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcOption};
use nix::errno::Errno;

use super::{Qdisc, option, request};
use crate::change::Change;
use crate::constants::{
    TC_LINKLAYER_ETHERNET, TCA_TBF_BURST, TCA_TBF_PARMS, TCA_TBF_PBURST, TCA_TBF_PRATE64, TCA_TBF_RATE64,
};
use crate::error::Result;
use crate::feature::Feature;
use crate::netlink::{attributes, read_u32};
use crate::rtnetlink::Rtnetlink;

pub(super) const KIND: &str = "tbf";
/// Handle `1:`, as every shaper of pods names its root.
pub(super) const HANDLE: TcHandle = TcHandle { major: 1, minor: 0 };

/// `struct tc_tbf_qopt` (uapi/linux/pkt_sched.h): two `struct tc_ratespec` of 12 bytes, limit, buffer, mtu.
const QOPT_LEN: usize = 36;
const QOPT_LINKLAYER: usize = 1;
const QOPT_RATE: usize = 8;
const QOPT_PEAK_LINKLAYER: usize = 13;
const QOPT_PEAK_RATE: usize = 20;
const QOPT_LIMIT: usize = 24;
const QOPT_BUFFER: usize = 28;

/// A rate at which every packet takes 0 ns, and which `tc` can still show in bits.
const ENDLESS_RATE: u64 = 1 << 60;

const NANOSECONDS_PER_SECOND: u128 = 1_000_000_000;
/// The kernel's scheduler counts in ticks of 64 ns (`PSCHED_SHIFT` 6 in net/pkt_sched.h).
const NANOSECONDS_PER_TICK: u128 = 64;

/// A token bucket filter (`sch_tbf`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tbf {
    /// Average rate in bytes per second, at least 1. Ethernet headers count.
    pub rate_bytes_per_sec: u64,
    /// Bytes that pass at once after a pause, at least one full packet with its Ethernet header; larger packets are
    /// segmented, or dropped where that is impossible. At most [`Tbf::max_burst_bytes`].
    pub burst_bytes: u32,
    /// Length of the queue in bytes; packets beyond it are dropped.
    pub limit_bytes: u32,
}

impl Tbf {
    /// Returns the largest burst at a rate: the kernel shows a burst as the time that it takes, in a `u32` of ticks
    /// of 64 ns, hence at most 274.9 s; and takes it as a `u32` of bytes.
    #[must_use]
    pub fn max_burst_bytes(rate_bytes_per_sec: u64) -> u32 {
        let bytes = byte_nanoseconds(rate_bytes_per_sec, u32::MAX) / NANOSECONDS_PER_SECOND;
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    /// Returns whether the kernel shows this filter's burst as `shown`.
    ///
    /// The kernel keeps a burst as nanoseconds at the rate and shows it in ticks of 64 ns, rounded down both times,
    /// and its reciprocal of the rate has 16 significant bits at 1 Pbit/s (32 up to 34 Gbit/s). So it shows up to two
    /// ticks of bytes (1 byte at 10 Mbit/s, 16 at 1 Gbit/s) and 1/32,768 less.
    #[must_use]
    pub fn allows_burst(&self, shown_bytes: u32) -> bool {
        let ticks = u64::from(bytes_of_ticks(self.rate_bytes_per_sec, 2));
        let tolerance = ticks + u64::from(self.burst_bytes >> 15) + 1;
        u64::from(self.burst_bytes.abs_diff(shown_bytes)) <= tolerance
    }

    /// Returns whether the kernel shows this filter as `shown`.
    #[must_use]
    pub fn is_shown_as(&self, shown: &Self) -> bool {
        shown.rate_bytes_per_sec == self.rate_bytes_per_sec
            && shown.limit_bytes == self.limit_bytes
            && self.allows_burst(shown.burst_bytes)
    }

    /// A filter that lets everything pass. It replaces a filter without the gap of deleting a qdisc: the kernel then
    /// stops the link for a moment, and drops packets.
    pub const OPEN: Self =
        Self { rate_bytes_per_sec: ENDLESS_RATE, burst_bytes: u32::MAX, limit_bytes: u32::MAX };

    /// Returns whether it is [`Tbf::OPEN`].
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.rate_bytes_per_sec == ENDLESS_RATE
    }

    /// Returns `TCA_OPTIONS`. `TCA_TBF_BURST` makes the kernel compute `buffer` itself, and no rate table is needed
    /// with a link layer that is not "unaware" (both since Linux 3.13). A rate beyond `tc_ratespec` goes into
    /// `TCA_TBF_RATE64`.
    ///
    /// With `largest_bytes`, there is a peak rate, at which no packet takes any time: the kernel refuses packets that
    /// are larger than the peak rate's burst.
    fn options(&self, largest_bytes: Option<u32>) -> Vec<TcOption> {
        let mut qopt = [0; QOPT_LEN];
        if largest_bytes.is_some() {
            qopt[QOPT_PEAK_LINKLAYER] = TC_LINKLAYER_ETHERNET;
            qopt[QOPT_PEAK_RATE..QOPT_PEAK_RATE + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
        }
        let rate = u32::try_from(self.rate_bytes_per_sec).unwrap_or(u32::MAX);
        qopt[QOPT_LINKLAYER] = TC_LINKLAYER_ETHERNET;
        qopt[QOPT_RATE..QOPT_RATE + 4].copy_from_slice(&rate.to_ne_bytes());
        qopt[QOPT_LIMIT..QOPT_LIMIT + 4].copy_from_slice(&self.limit_bytes.to_ne_bytes());
        let mut options =
            vec![option(TCA_TBF_PARMS, &qopt), option(TCA_TBF_BURST, &self.burst_bytes.to_ne_bytes())];
        if self.rate_bytes_per_sec > u32::MAX.into() {
            options.push(option(TCA_TBF_RATE64, &self.rate_bytes_per_sec.to_ne_bytes()));
        }
        if let Some(largest_bytes) = largest_bytes {
            options.push(option(TCA_TBF_PRATE64, &ENDLESS_RATE.to_ne_bytes()));
            options.push(option(TCA_TBF_PBURST, &largest_bytes.to_ne_bytes()));
        }
        options
    }

    /// Reads `TCA_OPTIONS`, and whether the rate has the link layer of Ethernet.
    pub(super) fn parse(options: &[u8]) -> Option<(Self, bool)> {
        let (mut rate, mut rest, mut tells_ethernet) = (None, None, false);
        for attribute in attributes(options, 0) {
            let value = attribute.value();
            match attribute.kind() {
                TCA_TBF_PARMS => {
                    let field = |offset| read_u32(value.get(offset..)?);
                    rate = rate.or(field(QOPT_RATE).map(u64::from));
                    rest = field(QOPT_LIMIT).zip(field(QOPT_BUFFER));
                    tells_ethernet = value.get(QOPT_LINKLAYER) == Some(&TC_LINKLAYER_ETHERNET);
                }
                TCA_TBF_RATE64 => rate = value.first_chunk().copied().map(u64::from_ne_bytes),
                _ => {}
            }
        }
        let (rate_bytes_per_sec, (limit_bytes, buffer)) = rate.zip(rest)?;
        let burst_bytes = bytes_of_ticks(rate_bytes_per_sec, buffer);
        Some((Self { rate_bytes_per_sec, burst_bytes, limit_bytes }, tells_ethernet))
    }
}

/// Returns the bytes that pass in `ticks`, rounded up: the kernel rounded down when it turned bytes into ticks.
fn bytes_of_ticks(rate_bytes_per_sec: u64, ticks: u32) -> u32 {
    let bytes = byte_nanoseconds(rate_bytes_per_sec, ticks).div_ceil(NANOSECONDS_PER_SECOND);
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Returns what passes in `ticks`, in billionths of a byte.
fn byte_nanoseconds(rate_bytes_per_sec: u64, ticks: u32) -> u128 {
    u128::from(rate_bytes_per_sec) * u128::from(ticks) * NANOSECONDS_PER_TICK
}

impl Change {
    /// Makes `tbf` the root qdisc of a link, under the handle `1:`. An existing filter with this handle is changed in
    /// place and keeps its queue.
    ///
    /// As `tc qdisc replace dev NAME root handle 1: tbf rate RATEbps burst BURST limit LIMIT`.
    ///
    /// It fails with [`Error::MissingFeature`](crate::Error::MissingFeature) without `sch_tbf`, and with `EINVAL` for a
    /// burst of 0 bytes.
    pub fn set_root_tbf(link: u32, tbf: &Tbf) -> Self {
        Self::tbf(link, TcHandle::ROOT, HANDLE, tbf, None)
    }

    pub(super) fn tbf(
        link: u32,
        parent: TcHandle,
        handle: TcHandle,
        tbf: &Tbf,
        largest_bytes: Option<u32>,
    ) -> Self {
        let mut message = request(link, parent, Some(KIND));
        message.header.handle = handle;
        message.attributes.push(TcAttribute::Options(tbf.options(largest_bytes)));
        let rate = tbf.rate_bytes_per_sec;
        let request = RouteNetlinkMessage::NewQueueDiscipline(message);
        Self::new(request, NLM_F_CREATE | NLM_F_REPLACE, link, move |name| {
            format!("shape {name} to {rate} bytes per second")
        })
        .needing(Feature::Tbf, &[Errno::ENOENT])
    }
}

impl Rtnetlink {
    /// Changes `qdisc`, a token bucket filter of a link, in place. It keeps its queue, and loses no packet.
    ///
    /// A queued packet must not be larger than the new burst: it would wait forever. With `largest_bytes`, larger
    /// packets are segmented, or dropped, from now on, while queued ones still pass as far as the burst allows. So a
    /// burst is made smaller by one call with the old burst and `largest_bytes` of the new one, and another one with
    /// the new burst when the queue is through.
    ///
    /// As `tc qdisc change dev NAME parent PARENT handle HANDLE tbf rate RATEbps burst BURST limit LIMIT`.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn change_tbf(
        &mut self,
        link: u32,
        qdisc: &Qdisc,
        tbf: &Tbf,
        largest_bytes: Option<u32>,
    ) -> Result<()> {
        self.apply(&[Change::tbf(link, qdisc.parent.into(), qdisc.handle.into(), tbf, largest_bytes)])
    }
}

#[cfg(test)]
mod tests;
