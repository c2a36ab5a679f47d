//! Which address an attachment gets.

use std::collections::HashSet;
use std::net::IpAddr;

use cni::IpConfig;
use ipnetwork::IpNetwork;

use crate::error::{Error, Result};
use crate::range::{Range, successor};
use crate::range_set::RangeSet;
use crate::store::{Owner, Store};

/// Allocates for one attachment, one range set after the other.
pub(crate) struct Allocator<'a> {
    store: &'a mut Store,
    owner: Owner<'a>,
    gateways: HashSet<IpAddr>,
    held: HashSet<IpAddr>,
    /// What the attachment had before.
    own: Vec<IpAddr>,
}

impl<'a> Allocator<'a> {
    /// An allocator that never hands out a gateway of `sets`.
    pub(crate) fn new(store: &'a mut Store, owner: Owner<'a>, sets: &[RangeSet]) -> Result<Self> {
        let ranges = sets.iter().flat_map(|set| &set.ranges);
        let gateways = ranges.map(|range| range.gateway).collect();
        let held = store.held()?;
        let own = store.addresses_of(owner)?;
        Ok(Self { store, owner, gateways, held, own })
    }

    /// Reserves an address of `set`, which is number `number` in the config: the one that was asked for,
    /// or else the first free one after the one that was handed out last.
    ///
    /// # Errors
    /// Why there is none; nothing is reserved then.
    pub(crate) fn allocate(
        &mut self,
        number: usize,
        set: &RangeSet,
        requested: Option<IpAddr>,
    ) -> Result<IpConfig> {
        let duplicate = self.own.iter().find(|own| set.range_of(**own).is_some() && Some(**own) != requested);
        if let Some(&address) = duplicate {
            return Err(Error::Duplicate { address, container_id: self.owner.container_id.to_owned() });
        }
        let (address, range) = match requested {
            Some(address) => self.reserve_requested(set, address)?,
            None => self.reserve_next(number, set)?,
        };
        if let Err(error) = self.store.set_last_reserved(number, address) {
            eprintln!(
                "weir: the next address of range set {number} will not be the one after {address}: {error}"
            );
        }
        let address = IpNetwork::new(address, range.subnet.prefix()).unwrap_or_else(|_| address.into());
        Ok(IpConfig { interface: None, address, gateway: Some(range.gateway) })
    }

    fn reserve_requested<'s>(&mut self, set: &'s RangeSet, address: IpAddr) -> Result<(IpAddr, &'s Range)> {
        let Some(range) = set.range_of(address) else {
            return Err(Error::Unfulfilled { addresses: vec![address] });
        };
        if self.gateways.contains(&address) {
            return Err(Error::IsGateway { address });
        }
        if self.store.reserve(address, self.owner)? {
            return Ok((address, range));
        }
        Err(Error::Held { address, ranges: set.to_string() })
    }

    fn reserve_next<'s>(&mut self, number: usize, set: &'s RangeSet) -> Result<(IpAddr, &'s Range)> {
        let last = self.store.last_reserved(number);
        let mut torn_are_known = false;
        loop {
            let is_taken = |address: IpAddr| self.held.contains(&address) || self.gateways.contains(&address);
            match next_free(set, last, is_taken) {
                Some((address, range)) => {
                    if self.store.reserve(address, self.owner)? {
                        return Ok((address, range));
                    }
                    // Somebody made it since, without the lock.
                    self.held.insert(address);
                }
                None if torn_are_known => return Err(Error::Exhausted { ranges: set.to_string() }),
                None => {
                    torn_are_known = true;
                    for address in self.store.torn()? {
                        self.held.remove(&address);
                    }
                }
            }
        }
    }

    /// Gives back what [`Allocator::allocate`] reserved.
    pub(crate) fn undo(&mut self, reserved: &[IpConfig]) {
        for config in reserved {
            if let Err(error) = self.store.release(config.address.ip()) {
                eprintln!("weir: an address of an ADD that failed stays reserved: {error}");
            }
        }
    }
}

/// The first address of `set` after `last`, round robin, that is not taken.
///
/// Looks at no more addresses than there are taken ones in a row, however large the set is.
fn next_free(
    set: &RangeSet,
    last: Option<IpAddr>,
    is_taken: impl Fn(IpAddr) -> bool,
) -> Option<(IpAddr, &Range)> {
    let free_in = |range: &Range, from: IpAddr, to: IpAddr| {
        let mut candidate = from;
        while candidate <= to && range.contains(candidate) {
            if !is_taken(candidate) {
                return Some(candidate);
            }
            candidate = successor(candidate)?;
        }
        None
    };
    let in_whole = |range: &'_ Range| free_in(range, range.start, range.end);
    let ranges = &set.ranges;
    let place =
        last.and_then(|last| ranges.iter().position(|range| range.contains(last)).map(|index| (index, last)));
    let Some((index, last)) = place else {
        return ranges.iter().find_map(|range| in_whole(range).map(|address| (address, range)));
    };
    let current = &ranges[index];
    let after = successor(last).and_then(|next| free_in(current, next, current.end));
    let others = ranges[index + 1..].iter().chain(&ranges[..index]);
    after
        .map(|address| (address, current))
        .or_else(|| others.into_iter().find_map(|range| in_whole(range).map(|address| (address, range))))
        .or_else(|| free_in(current, current.start, last).map(|address| (address, current)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::config::RangeKeys;
    use crate::range_set::tests::set;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_search_in_a_huge_range_looks_only_at_what_is_taken() {
        let set = set(&["fd00::/64"]).unwrap();
        let looked = std::cell::Cell::new(0);
        let taken = |candidate: IpAddr| {
            looked.set(looked.get() + 1);
            candidate < address("fd00::3e8")
        };
        let (next, _) = next_free(&set, Some(address("fd00::ffff:ffff:ffff:ffff")), taken).unwrap();
        assert_eq!(next, address("fd00::3e8"));
        assert_eq!(looked.get(), 1000);
    }

    #[test]
    fn the_last_address_of_all_is_no_end_of_the_world() {
        let keys = RangeKeys {
            subnet: Some("255.255.255.248/29".parse().unwrap()),
            range_end: Some(address("255.255.255.255")),
            ..RangeKeys::default()
        };
        let set = RangeSet::new("ipam".to_owned(), std::iter::once((&keys, "ipam".to_owned()))).unwrap();
        let next = |last: &str| next_free(&set, Some(address(last)), |_| false).unwrap().0;
        assert_eq!(next("255.255.255.255"), address("255.255.255.249"));
        assert!(next_free(&set, Some(address("255.255.255.255")), |_| true).is_none());
    }

    #[test]
    fn a_last_address_of_other_ranges_starts_at_the_first() {
        let set = set(&["10.0.0.0/29", "10.0.1.0/29"]).unwrap();
        for last in [None, Some("10.9.0.4"), Some("fd00::1")] {
            let (next, _) = next_free(&set, last.map(address), |_| false).unwrap();
            assert_eq!(next, address("10.0.0.1"));
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
                        subnet: Some(format!("10.0.{third}.0/{prefix}").parse().unwrap()),
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
            let found = next_free(&set, last, |address| taken.contains(&address));
            prop_assert_eq!(found.map(|(address, _)| address), expected);
            prop_assert!(found.is_none_or(|(address, range)| range.contains(address)));
        }
    }
}
