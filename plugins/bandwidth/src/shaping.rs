//! Rate and burst of a limit as the kernel's parameters of a token bucket filter.
//!
//! An exact filter needs a burst that covers one packet and what would have passed while the CPU was busy elsewhere, and a
//! queue that holds what a TCP sender has under way before it learns the rate: with a queue that is a few packets too
//! short, the rate is missed. A longer queue only adds latency.
//!
//! For a burst that was not chosen: 40 ms of the rate, at least two full packets; and a queue of 45 ms of the rate, at
//! least ten full packets, or what passes in 125 ms if that is less, but four packets always. Measured with pods
//! made by this plugin with containerd's burst: one TCP flow (cubic, MTU 1,500) for ten seconds and twenty pings
//! a second beside it, on a virtual machine of two cores that was not idle, Linux 6.18. Received rates are in parts of
//! rate x 1448 / 1514, the share of an Ethernet frame that is TCP's payload. Medians of three.
//!
//! | rate       | burst        | queue        | ten seconds, in / out | first second, in / out | ping ms, mean / worst |
//! |------------|--------------|--------------|-----------------------|------------------------|-----------------------|
//! | 64 kbit/s  | 3,028 B      | 6,056 B      | 0.91 / 0.95           | 0.76 / 0.76            | 364 / 580             |
//! | 1 Mbit/s   | 5,000 B      | 15,140 B     | 0.986 / 0.988         | 0.85 / 1.02            | 73 / 111              |
//! | 10 Mbit/s  | 50,000 B     | 56,250 B     | 1.001 / 1.001         | 1.02 / 1.03            | 27 / 43               |
//! | 100 Mbit/s | 500,000 B    | 562,500 B    | 1.003 / 1.003         | 1.04 / 1.04            | 9 / 16                |
//! | 1 Gbit/s   | 5,000,000 B  | 5,625,000 B  | 1.004 / 1.004         | 1.04 / 1.04            | 2.6 / 5               |
//! | 5 Gbit/s   | 25,000,000 B | 28,125,000 B | 1.004 / 1.003         | 1.04 / 1.04            | 1.2 / 3               |
//!
//! At 64 kbit/s and 1 Mbit/s the missing part is the pings' own: at 64 kbit/s they are a quarter of the rate.
//! The burst's length is what the filter can make up for while the CPU is busy elsewhere. With other work on the
//! cores, 5 ms received 0.92 (median) at 5 Gbit/s, 20 ms 0.95, 40 ms 1.005; longer ones gained nothing, and the
//! first second grows with them.

use limits::{Burst, Direction, Limit};
use linux::Tbf;

use crate::timing::Timing;

/// A qdisc counts Ethernet's header as part of a packet.
const ETHERNET_HEADER: u64 = 14;
/// A chosen burst adds at most these milliseconds of the rate to the queue: pings would wait for seconds beyond. The
/// reference's queue holds the whole burst.
const QUEUED_BURST_MAX_MILLISECONDS: u64 = 1000;
/// The least burst that the plugin chooses.
const BURST_MIN_PACKETS: u64 = 2;
/// The least queue that the plugin chooses: the initial window of a TCP sender (RFC 6928), as long as that takes at most
/// these milliseconds ...
const QUEUE_PACKETS: u64 = 10;
const QUEUE_PACKETS_MAX_MILLISECONDS: u64 = 125;
/// ... and at the slowest rates what a sender must have under way to notice a loss by duplicate acknowledgements
/// (RFC 5681).
const QUEUE_MIN_PACKETS: u64 = 4;

/// Returns the filter for one direction of a link whose packets have at most `mtu` bytes.
///
/// A chosen burst is kept within two bounds: at least one full packet, which could never pass otherwise, and at most what
/// the kernel can hold ([`Tbf::max_burst_bytes`]). The queue is the burst and the latency, 25 ms of the rate unless the
/// config says otherwise, as in the reference; of a burst of more than a second of the rate only that second counts.
pub(crate) fn tbf_params(limit: &Limit, mtu: u32, timing: &Timing) -> Tbf {
    let rate = rate_bytes_per_sec(limit);
    let packet = packet_bytes(mtu);
    let min_packets = QUEUE_MIN_PACKETS * packet;
    let (burst, min_queue) = match limit.burst {
        Burst::Chosen { bits } => ((bits / 8).max(packet), 0),
        Burst::NotChosen => {
            let burst = milliseconds(rate, timing.burst_milliseconds).max(BURST_MIN_PACKETS * packet);
            let max = milliseconds(rate, QUEUE_PACKETS_MAX_MILLISECONDS).max(min_packets);
            let default = max.min(QUEUE_PACKETS * packet);
            (burst, if timing.latency_milliseconds.is_some() { min_packets } else { default })
        }
    };
    let burst_bytes = clamp(burst).min(Tbf::max_burst_bytes(rate));
    let max_queued = milliseconds(rate, QUEUED_BURST_MAX_MILLISECONDS).max(min_packets);
    let queue = milliseconds(rate, timing.latency_milliseconds(limit.burst))
        .saturating_add(u64::from(burst_bytes).min(max_queued))
        .max(min_queue);
    Tbf { rate_bytes_per_sec: rate, burst_bytes, limit_bytes: clamp(queue) }
}

/// Says on standard error when `tbf` has another burst than the one chosen, or one that keeps the rate from being
/// reached.
///
/// The kernel's timers may be late by a millisecond, which a smaller burst does not make up for. On a machine that was not
/// idle, one TCP flow got 0.85 of 1 Gbit/s with a burst of a millisecond, 0.65 with half of that, 0.35 with 20 us; and 0.79
/// of 100 Mbit/s with one packet (121 us).
pub(crate) fn note_bounds(direction: Direction, limit: &Limit, tbf: &Tbf) {
    let Burst::Chosen { bits } = limit.burst else { return };
    let (asked, used) = (bits / 8, u64::from(tbf.burst_bytes));
    if asked != used {
        let why = if asked < used { "less than a packet" } else { "more than the kernel holds" };
        cni::note(format_args!("bandwidth: {direction}Burst of {asked} bytes is {why}; using {used}"));
    }
    let (rate, min_bits) = (limit.rate_bits_per_sec, limit.rate_bits_per_sec / 1000);
    if bits < min_bits {
        cni::note(format_args!(
            "bandwidth: {direction}Burst of {bits} bits is less than a millisecond of {rate} bits per second; the kernel's \
             timers may be late by that, and less than the rate passes then. {min_bits} bits would do"
        ));
    }
}

/// Returns the size of a full packet as a qdisc counts it.
pub(crate) fn packet_bytes(mtu: u32) -> u64 {
    u64::from(mtu) + ETHERNET_HEADER
}

/// Whether packets of this size can pass a filter, as the kernel shows its burst.
pub(crate) fn lets_pass(shown: &Tbf, packet_bytes: u64) -> bool {
    let packet = Tbf { burst_bytes: clamp(packet_bytes), ..*shown };
    shown.burst_bytes >= packet.burst_bytes || packet.allows_burst(shown.burst_bytes)
}

/// Returns the rate in the kernel's unit, rounded down as the reference does; the kernel has no rate of 0.
fn rate_bytes_per_sec(limit: &Limit) -> u64 {
    (limit.rate_bits_per_sec / 8).max(1)
}

/// Returns the bytes that pass in some milliseconds, rounded down.
fn milliseconds(rate_bytes_per_sec: u64, milliseconds: u64) -> u64 {
    let bytes = u128::from(rate_bytes_per_sec) * u128::from(milliseconds) / 1000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn clamp(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MTU: u32 = 1500;
    const FULL_PACKET: u32 = 1514;

    fn params(rate_bits_per_sec: u64, burst: Burst) -> (u64, u32, u32) {
        let tbf = tbf_params(&Limit { rate_bits_per_sec, burst }, MTU, &Timing::default());
        (tbf.rate_bytes_per_sec, tbf.burst_bytes, tbf.limit_bytes)
    }

    fn chosen(rate_bits_per_sec: u64, bits: u64) -> (u64, u32, u32) {
        params(rate_bits_per_sec, Burst::Chosen { bits })
    }

    #[test]
    fn a_chosen_burst_gives_what_the_kernel_showed_under_the_reference() {
        // burst and limit of a pod with the static config 10M/1M
        assert_eq!(chosen(10_000_000, 1_000_000), (1_250_000, 125_000, 156_250));
        // a second of the rate, which is common
        assert_eq!(chosen(10_000_000, 10_000_000), (1_250_000, 1_250_000, 1_281_250));
    }

    #[test]
    fn only_a_second_of_a_larger_burst_may_wait() {
        // the reference: 537,183,411 and 539,995,911, that is 43 s and 4 s
        assert_eq!(chosen(100_000_000, 4_294_967_294), (12_500_000, 536_870_911, 12_812_500));
        assert_eq!(chosen(1_000_000_000, 4_294_967_294), (125_000_000, 536_870_911, 128_125_000));
        // at the slowest rates four packets, and 25 ms
        assert_eq!(chosen(8_000, 8_000_000), (1_000, 274_877, 4 * FULL_PACKET + 25));
    }

    #[test]
    fn the_configs_milliseconds_count() {
        let timing = Timing::from_keys(Some(5), Some(10)).unwrap();
        let params = |rate_bits_per_sec, burst| {
            let tbf = tbf_params(&Limit { rate_bits_per_sec, burst }, MTU, &timing);
            (tbf.burst_bytes, tbf.limit_bytes)
        };
        assert_eq!(params(100_000_000, Burst::NotChosen), (62_500, 187_500));
        assert_eq!(params(100_000_000, Burst::Chosen { bits: 8_000_000 }), (1_000_000, 1_125_000));
        // two packets and four packets at least
        assert_eq!(params(64_000, Burst::NotChosen), (2 * FULL_PACKET, 4 * FULL_PACKET));
    }

    #[test]
    fn where_the_reference_overflows_the_kernels_largest_burst_is_taken() {
        // 274.877 s of the rate, the kernel's 2^32 ticks of 64 ns
        assert_eq!(chosen(1_000_000, 4_294_967_294).1, 34_359_738);
        assert_eq!(chosen(10_000_000, 34_359_738_358).1, 343_597_383);
        assert_eq!(chosen(1_000_000_000, u64::MAX), (125_000_000, u32::MAX, 128_125_000));
    }

    #[test]
    fn a_full_packet_passes_whatever_was_chosen() {
        assert_eq!(chosen(400_000, 8), (50_000, FULL_PACKET, FULL_PACKET + 1250));
        assert_eq!(chosen(1_000, 1_000), (125, FULL_PACKET, FULL_PACKET + 3));
    }

    #[test]
    fn the_plugins_own_parameters_are_the_table_that_was_measured() {
        for (rate_bits_per_sec, burst_bytes, limit_bytes) in [
            (64_000, 3_028, 6_056),
            (256_000, 3_028, 6_056),
            (1_000_000, 5_000, 15_140),
            (10_000_000, 50_000, 56_250),
            (100_000_000, 500_000, 562_500),
            (1_000_000_000, 5_000_000, 5_625_000),
            (5_000_000_000, 25_000_000, 28_125_000),
            (40_000_000_000, 200_000_000, 225_000_000),
        ] {
            assert_eq!(
                params(rate_bits_per_sec, Burst::NotChosen),
                (rate_bits_per_sec / 8, burst_bytes, limit_bytes)
            );
        }
    }

    #[test]
    fn less_than_a_byte_per_second_is_not_unlimited() {
        assert_eq!(chosen(7, 8), (1, 274, 274));
    }

    fn any_burst() -> impl Strategy<Value = Burst> {
        prop_oneof![Just(Burst::NotChosen), (1..=u64::MAX).prop_map(|bits| Burst::Chosen { bits })]
    }

    fn any_timing() -> impl Strategy<Value = Timing> {
        let milliseconds = || proptest::option::of(1..=1000u64);
        (milliseconds(), milliseconds())
            .prop_map(|(burst, latency)| Timing::from_keys(burst, latency).unwrap())
    }

    proptest! {
        #[test]
        fn nothing_wraps_from_1_kbit_to_1_pbit(
            exponent in 3.0..=15.0f64, burst in any_burst(), mtu in 68u32..=9000, timing in any_timing(),
        ) {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let rate_bits_per_sec = 10f64.powf(exponent) as u64;
            let tbf = tbf_params(&Limit { rate_bits_per_sec, burst }, mtu, &timing);
            prop_assert_eq!(tbf.rate_bytes_per_sec, rate_bits_per_sec / 8);
            prop_assert!(tbf.burst_bytes >= mtu + 14);
            prop_assert!(tbf.burst_bytes <= Tbf::max_burst_bytes(tbf.rate_bytes_per_sec));
            // A full packet fits in; the whole burst, unless it is more than a second of the rate; and
            // what waits, waits for at most two seconds: one of the burst, one of the latency.
            prop_assert!(tbf.limit_bytes >= mtu + 14);
            let second = tbf.rate_bytes_per_sec;
            prop_assert!(u64::from(tbf.limit_bytes) >= u64::from(tbf.burst_bytes).min(second));
            prop_assert!(u64::from(tbf.limit_bytes) <= (2 * second).max(second + 4 * (u64::from(mtu) + 14)));
            let latency = timing.latency_milliseconds(burst);
            let asked = u128::from(second) * u128::from(latency) / 1000;
            prop_assert!(u128::from(tbf.limit_bytes) >= asked || tbf.limit_bytes == u32::MAX);
        }

        #[test]
        fn no_number_makes_it_panic(
            rate_bits_per_sec: u64, burst in any_burst(), mtu: u32, timing in any_timing(),
        ) {
            let tbf = tbf_params(&Limit { rate_bits_per_sec, burst }, mtu, &timing);
            prop_assert!(tbf.rate_bytes_per_sec > 0 && tbf.burst_bytes > 0 && tbf.limit_bytes > 0);
        }

        #[test]
        fn a_packet_waits_at_most_45_ms_in_a_queue_of_the_plugins_own(exponent in 7.0..=11.0f64) {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let rate_bits_per_sec = 10f64.powf(exponent) as u64;
            let tbf = tbf_params(&Limit { rate_bits_per_sec, burst: Burst::NotChosen }, MTU, &Timing::default());
            let milliseconds = u64::from(tbf.limit_bytes) * 1000 / tbf.rate_bytes_per_sec;
            prop_assert!(milliseconds <= 45, "{milliseconds} ms");
        }
    }
}
