//! Token bucket filters, set and shown by the kernel.

use proptest::prelude::*;

use super::*;
use crate::testing::namespace_with_veth;

/// `TCA_OPTIONS` of a filter made by `tc qdisc add dev v0 root handle 1: tbf rate 10mbit burst 125000
/// limit 156250`, as the kernel (6.18) shows it.
const MADE_BY_TC: [u8; 40] = [
    40, 0, 1, 0, // TCA_TBF_PARMS
    0, 1, 0, 0, 0, 0, 0, 0, 0xD0, 0x12, 0x13, 0, // rate: Ethernet, 1,250,000 bytes/s
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // no peak rate
    0x5A, 0x62, 2, 0, // limit: 156,250 bytes
    0x84, 0xD7, 0x17, 0, // buffer: 1,562,500 ticks
    0, 0, 0, 0, // no mtu
];

#[test]
#[cfg(target_endian = "little")]
fn a_filter_of_tc_is_read() {
    let tbf = Tbf { rate_bytes_per_sec: 1_250_000, burst_bytes: 125_000, limit_bytes: 156_250 };
    assert_eq!(Tbf::parse(&MADE_BY_TC), Some((tbf, true)));
    assert_eq!(Tbf::parse(&MADE_BY_TC[..20]), None);
    assert_eq!(Tbf::parse(&[]), None);
}

#[test]
fn the_kernel_shows_filters_as_they_were_set_from_64_kbit_to_1_pbit() {
    let (mut rtnetlink, veth) = namespace_with_veth();
    for rate_bits_per_sec in [
        1_000,
        64_000,
        1_000_000,
        10_000_000,
        33_333_333,
        100_000_000,
        1_000_000_000,
        5_000_000_000,
        40_000_000_000,
        34_359_738_360,
        400_000_000_000,
        1_000_000_000_000_000,
    ] {
        let rate_bytes_per_sec = rate_bits_per_sec / 8;
        for burst_bytes in [1_514, 65_536, 16_777_216, u32::MAX] {
            let burst_bytes = burst_bytes.min(Tbf::max_burst_bytes(rate_bytes_per_sec));
            for limit_bytes in [burst_bytes, u32::MAX] {
                let set = Tbf { rate_bytes_per_sec, burst_bytes, limit_bytes };
                rtnetlink.apply(&[Change::set_root_tbf(veth.index, &set)]).unwrap();
                let seen = rtnetlink.root_qdisc(veth.index).unwrap().unwrap().tbf.unwrap();
                assert!(set.is_shown_as(&seen), "set {set:?}, seen {seen:?}");
            }
        }
    }
}

#[test]
fn another_burst_is_told_apart() {
    let tbf = Tbf { rate_bytes_per_sec: 125_000, burst_bytes: 3_028, limit_bytes: 15_140 };
    assert!(tbf.allows_burst(3_028) && tbf.allows_burst(3_027));
    assert!(!tbf.allows_burst(3_000) && !tbf.allows_burst(3_200) && !tbf.allows_burst(21_474_835));
    assert!(tbf.is_shown_as(&Tbf { burst_bytes: 3_027, ..tbf }));
    assert!(!tbf.is_shown_as(&Tbf { limit_bytes: 15_139, ..tbf }));
    assert!(!tbf.is_shown_as(&Tbf { rate_bytes_per_sec: 125_001, ..tbf }));
}

#[test]
fn a_root_qdisc_can_be_removed_twice() {
    let (mut rtnetlink, veth) = namespace_with_veth();
    let tbf = Tbf { rate_bytes_per_sec: 125_000, burst_bytes: 3_028, limit_bytes: 15_140 };
    rtnetlink.apply(&[Change::set_root_tbf(veth.index, &tbf)]).unwrap();
    rtnetlink.delete_root_qdisc(veth.index).unwrap();
    rtnetlink.delete_root_qdisc(veth.index).unwrap();
    rtnetlink.delete_root_qdisc(4711).unwrap();
    let left = rtnetlink.root_qdisc(veth.index).unwrap();
    assert!(left.is_none_or(|qdisc| qdisc.tbf.is_none()));
}

#[test]
fn a_filter_is_opened_and_narrowed_in_place() {
    let (mut rtnetlink, veth) = namespace_with_veth();
    let tbf = Tbf { rate_bytes_per_sec: 125_000, burst_bytes: 3_028, limit_bytes: 15_140 };
    rtnetlink.apply(&[Change::set_root_tbf(veth.index, &tbf)]).unwrap();
    let mut shown = |tbf: &Tbf, largest| {
        let root = rtnetlink.root_qdisc(veth.index).unwrap().unwrap();
        rtnetlink.change_tbf(veth.index, &root, tbf, largest).unwrap();
        rtnetlink.root_qdisc(veth.index).unwrap().unwrap().tbf.unwrap()
    };
    assert!(shown(&Tbf::OPEN, None).is_open());
    let narrow = shown(&tbf, Some(1_514));
    assert!(!narrow.is_open() && narrow.limit_bytes == 15_140, "{narrow:?}");
    assert_eq!(shown(&tbf, None), tbf);
}

#[test]
fn a_burst_of_nothing_is_refused_and_no_missing_feature() {
    let (mut rtnetlink, veth) = namespace_with_veth();
    let tbf = Tbf { rate_bytes_per_sec: 125_000, burst_bytes: 0, limit_bytes: 15_140 };
    let error = rtnetlink.apply(&[Change::set_root_tbf(veth.index, &tbf)]).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EINVAL));
    assert!(error.to_string().contains("shape host0 to 125000 bytes per second"), "{error}");
}

proptest! {
    #[test]
    fn nothing_wraps_and_a_burst_is_read_within_a_tick(
        rate_bytes_per_sec in 1..=u64::MAX, ticks: u32, shown: u32,
    ) {
        let burst_bytes = bytes_of_ticks(rate_bytes_per_sec, ticks);
        let tbf = Tbf { rate_bytes_per_sec, burst_bytes, limit_bytes: 0 };
        prop_assert!(burst_bytes <= Tbf::max_burst_bytes(rate_bytes_per_sec).saturating_add(1));
        prop_assert!(tbf.allows_burst(burst_bytes));
        let _ = tbf.allows_burst(shown);
    }
}
