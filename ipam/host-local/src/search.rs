//! The order in which the addresses of a set are allocated: round robin.

use std::net::IpAddr;

use crate::error::Result;
use crate::range::{Range, successor};
use crate::range_set::RangeSet;

/// Returns the first free address of `set` after `last`, round robin. `first_free` gets the first and the last address
/// of a part of a range.
pub(crate) fn next_free(
    set: &RangeSet,
    last: Option<IpAddr>,
    mut first_free: impl FnMut(IpAddr, IpAddr) -> Result<Option<IpAddr>>,
) -> Result<Option<(IpAddr, &Range)>> {
    let ranges = &set.ranges;
    let place =
        last.and_then(|last| ranges.iter().position(|range| range.contains(last)).map(|index| (index, last)));
    let whole = |range: &Range| (range.start, range.end);
    let mut parts: Vec<(&Range, (IpAddr, IpAddr))> = Vec::with_capacity(ranges.len() + 1);
    match place {
        None => parts.extend(ranges.iter().map(|range| (range, whole(range)))),
        Some((index, last)) => {
            let current = &ranges[index];
            let next = successor(last).filter(|next| current.contains(*next));
            parts.extend(next.map(|next| (current, (next, current.end))));
            let others = ranges[index + 1..].iter().chain(&ranges[..index]);
            parts.extend(others.map(|range| (range, whole(range))));
            parts.push((current, (current.start, last)));
        }
    }
    for (range, (from, to)) in parts {
        if let Some(address) = first_free(from, to)? {
            return Ok(Some((address, range)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::config::RangeKeys;
    use crate::range_set::tests::set;
    use cni::Cidr;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// The same search on a plain set.
    fn next(
        set: &RangeSet,
        last: Option<IpAddr>,
        is_taken: impl Fn(IpAddr) -> bool,
    ) -> Option<(IpAddr, &Range)> {
        next_free(set, last, |from, to| {
            let addresses = std::iter::successors(Some(from), |address| successor(*address));
            Ok(addresses.take_while(|address| *address <= to).find(|address| !is_taken(*address)))
        })
        .unwrap()
    }

    #[test]
    fn the_search_in_a_huge_range_looks_only_at_what_is_taken() {
        let set = set(&["fd00::/64"]).unwrap();
        let looked = std::cell::Cell::new(0);
        let taken = |candidate: IpAddr| {
            looked.set(looked.get() + 1);
            candidate < address("fd00::3e8")
        };
        let (found, _) = next(&set, Some(address("fd00::ffff:ffff:ffff:ffff")), taken).unwrap();
        assert_eq!(found, address("fd00::3e8"));
        assert_eq!(looked.get(), 1000);
    }

    #[test]
    fn the_search_continues_after_the_last_address_of_all() {
        let keys = RangeKeys {
            subnet: Some(Cidr("255.255.255.248/29".parse().unwrap())),
            range_end: Some(address("255.255.255.255")),
            ..RangeKeys::default()
        };
        let set = RangeSet::new("ipam".to_owned(), std::iter::once((&keys, "ipam".to_owned()))).unwrap();
        let last = Some(address("255.255.255.255"));
        assert_eq!(next(&set, last, |_| false).unwrap().0, address("255.255.255.249"));
        assert!(next(&set, last, |_| true).is_none());
    }

    #[test]
    fn a_last_address_of_other_ranges_starts_at_the_first() {
        let set = set(&["10.0.0.0/29", "10.0.1.0/29"]).unwrap();
        for last in [None, Some("10.9.0.4"), Some("fd00::1")] {
            let (found, _) = next(&set, last.map(address), |_| false).unwrap();
            assert_eq!(found, address("10.0.0.1"));
        }
    }

    /// Ranges of at most 30 addresses in subnets of their own.
    fn small_set() -> impl Strategy<Value = RangeSet> {
        prop::collection::vec((27u8..=30, any::<u8>(), any::<u8>()), 1..4).prop_map(|ranges| {
            let keys: Vec<_> = (0u8..)
                .zip(ranges)
                .map(|(third, (prefix, start, length))| {
                    let size = 1u8 << (32 - prefix);
                    let start = start % size;
                    let end = start + length % (size - start);
                    RangeKeys {
                        subnet: Some(Cidr(format!("10.0.{third}.0/{prefix}").parse().unwrap())),
                        range_start: Some(IpAddr::from([10, 0, third, start])),
                        range_end: Some(IpAddr::from([10, 0, third, end])),
                        gateway: None,
                    }
                })
                .collect();
            let named = keys.iter().map(|keys| (keys, "ipam.ranges[0][0]".to_owned()));
            RangeSet::new("ipam.ranges[0]".to_owned(), named).unwrap()
        })
    }

    /// Every address of a set in its order.
    fn all(set: &RangeSet) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for range in &set.ranges {
            let mut next = Some(range.start);
            while let Some(address) = next.filter(|address| range.contains(*address)) {
                addresses.push(address);
                next = successor(address);
            }
        }
        addresses
    }

    proptest! {
        #[test]
        fn the_next_address_is_the_first_free_one_after_the_last(
            set in small_set(), taken in prop::collection::vec(any::<bool>(), 96), last in any::<prop::sample::Index>(),
            has_last in any::<bool>(),
        ) {
            let all = all(&set);
            let taken: BTreeSet<IpAddr> =
                all.iter().zip(taken.iter().cycle()).filter(|(_, taken)| **taken).map(|(address, _)| *address).collect();
            let last = has_last.then(|| *last.get(&all));
            let after = last.map_or(0, |last| all.iter().position(|address| *address == last).unwrap() + 1);
            let expected = all[after..].iter().chain(&all[..after]).find(|address| !taken.contains(address)).copied();
            let found = next(&set, last, |address| taken.contains(&address));
            prop_assert_eq!(found.map(|(address, _)| address), expected);
            prop_assert!(found.is_none_or(|(address, range)| range.contains(address)));
        }
    }
}
