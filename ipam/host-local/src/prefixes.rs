//! The prefixes of `ipam.exclude` as sorted ranges, for a binary search.

use std::net::IpAddr;

use ipnetwork::{IpNetwork, Ipv4Network};

use crate::range::successor;

/// Prefixes in any order and number, and the addresses that they contain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Prefixes {
    prefixes: Vec<IpNetwork>,
    /// First and last addresses, ascending; no two overlap or touch.
    ranges: Vec<(IpAddr, IpAddr)>,
}

impl Prefixes {
    pub(crate) fn new(prefixes: impl IntoIterator<Item = IpNetwork>) -> Self {
        let prefixes: Vec<_> = prefixes.into_iter().map(canonical).collect();
        let mut all: Vec<_> = prefixes.iter().map(|prefix| (prefix.network(), prefix.broadcast())).collect();
        all.sort_unstable();
        let mut ranges: Vec<(IpAddr, IpAddr)> = Vec::new();
        for (first, last) in all {
            match ranges.last_mut() {
                Some((_, end)) if first <= *end || successor(*end) == Some(first) => *end = last.max(*end),
                _ => ranges.push((first, last)),
            }
        }
        Self { prefixes, ranges }
    }

    /// Returns the last address of the gapless run that contains `address`; `None` when no prefix does.
    pub(crate) fn end_of_run(&self, address: IpAddr) -> Option<IpAddr> {
        let (first, last) = *self.ranges.get(self.first_ending_at_or_after(address))?;
        (first <= address).then_some(last)
    }

    /// Returns a prefix that contains the address.
    pub(crate) fn prefix_of(&self, address: IpAddr) -> Option<IpNetwork> {
        self.prefixes.iter().find(|prefix| prefix.contains(address)).copied()
    }

    /// Counts the addresses from `first` to `last`, both of one family, that no prefix contains; at most 2¹²⁸ − 1.
    pub(crate) fn count_outside(&self, first: IpAddr, last: IpAddr) -> u128 {
        let mut outside = (number(last) - number(first)).checked_add(1);
        for (start, end) in &self.ranges[self.first_ending_at_or_after(first)..] {
            if *start > last {
                break;
            }
            let inside_less_one = number(last.min(*end)) - number(first.max(*start));
            // 2¹²⁸ addresses less at least one is a number that fits.
            outside = Some(
                outside.map_or_else(|| u128::MAX - inside_less_one, |count| count - inside_less_one - 1),
            );
        }
        outside.unwrap_or(u128::MAX)
    }

    fn first_ending_at_or_after(&self, address: IpAddr) -> usize {
        self.ranges.partition_point(|(_, last)| *last < address)
    }
}

/// Turns an IPv4 prefix in IPv6 notation into the IPv4 prefix.
fn canonical(prefix: IpNetwork) -> IpNetwork {
    match (prefix.network().to_canonical(), prefix.prefix().checked_sub(96)) {
        (IpAddr::V4(address), Some(length)) if prefix.is_ipv6() => {
            Ipv4Network::new(address, length).map_or(prefix, IpNetwork::V4)
        }
        _ => prefix,
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefixes(prefixes: &[&str]) -> Prefixes {
        Prefixes::new(prefixes.iter().map(|prefix| prefix.parse().unwrap()))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn prefixes_that_touch_are_one_range() {
        let every = (0..=u16::MAX)
            .rev()
            .map(|number| IpNetwork::new(IpAddr::from([0xfd00, 0, 0, number, 0, 0, 0, 0]), 64).unwrap());
        let all = Prefixes::new(every);
        assert_eq!(all.ranges, [(address("fd00::"), address("fd00:0:0:ffff:ffff:ffff:ffff:ffff"))]);
        assert_eq!(all.end_of_run(address("fd00:0:0:7::1")), Some(all.ranges[0].1));
        assert_eq!(all.end_of_run(address("fd00:0:1::")), None);
    }

    #[test]
    fn the_ends_of_the_address_space_can_be_excluded() {
        for (all, first, last, size) in [
            ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", u128::MAX),
            ("0.0.0.0/0", "0.0.0.0", "255.255.255.255", 1 << 32),
        ] {
            let (first, last) = (address(first), address(last));
            let whole = prefixes(&[all, all]);
            assert_eq!(whole.end_of_run(first), Some(last));
            assert_eq!(whole.count_outside(first, last), 0);
            assert_eq!(prefixes(&[]).count_outside(first, last), size);
            let ends = Prefixes::new([IpNetwork::from(first), IpNetwork::from(last)]);
            assert_eq!(ends.end_of_run(last), Some(last));
            let less = if size == u128::MAX { size - 1 } else { size - 2 };
            assert_eq!(ends.count_outside(first, last), less);
        }
    }

    #[test]
    fn a_family_excludes_nothing_of_the_other_and_ipv4_may_be_written_as_ipv6() {
        let all = prefixes(&["::/0", "::ffff:10.1.2.0/120"]);
        assert_eq!(all.end_of_run(address("10.1.2.7")), Some(address("10.1.2.255")));
        assert_eq!(all.end_of_run(address("10.1.3.0")), None);
        assert_eq!(all.prefix_of(address("10.1.2.7")).unwrap().to_string(), "10.1.2.0/24");
    }

    proptest! {
        #[test]
        fn the_ranges_are_the_prefixes(prefixes in prop::collection::vec((any::<u8>(), 24u8..=32), 0..12)) {
            let prefixes: Vec<_> = prefixes.into_iter()
                .map(|(last, length)| IpNetwork::new(IpAddr::from([10, 0, 0, last]), length).unwrap()).collect();
            let all = Prefixes::new(prefixes.clone());
            let is_excluded = |last: u8| prefixes.iter().any(|prefix| prefix.contains(IpAddr::from([10, 0, 0, last])));
            for last in 0..=255 {
                let end = (last..=255).take_while(|last| is_excluded(*last)).last();
                let found = all.end_of_run(IpAddr::from([10, 0, 0, last]));
                prop_assert_eq!(found, end.map(|end| IpAddr::from([10, 0, 0, end])));
            }
            let outside = (3..=200).filter(|last| !is_excluded(*last)).count() as u128;
            prop_assert_eq!(all.count_outside(IpAddr::from([10, 0, 0, 3]), IpAddr::from([10, 0, 0, 200])), outside);
        }
    }
}
