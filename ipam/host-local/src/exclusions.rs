//! Addresses that are not allocated although they may be free.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::config::Config;
use crate::error::Result;
use crate::prefixes::Prefixes;
use crate::range::successor;
use crate::range_set::RangeSet;
use crate::store::Store;

/// The gateways of all ranges, the prefixes of `ipam.exclude`, and the addresses in cooldown.
pub(crate) struct Exclusions<'a> {
    gateways: HashSet<IpAddr>,
    exclude: &'a Prefixes,
    /// Those in cooldown, and those that turned out not to be free.
    addresses: HashSet<IpAddr>,
}

impl<'a> Exclusions<'a> {
    pub(crate) fn new(config: &'a Config, in_cooldown: &[IpAddr]) -> Self {
        let ranges = config.sets.iter().flat_map(|set| &set.ranges);
        Self {
            gateways: ranges.map(|range| range.gateway).collect(),
            exclude: &config.exclude,
            addresses: in_cooldown.iter().copied().collect(),
        }
    }

    /// Adds an address.
    pub(crate) fn add(&mut self, address: IpAddr) {
        self.addresses.insert(address);
    }

    /// Returns whether the address is the gateway of a range.
    pub(crate) fn is_gateway(&self, address: IpAddr) -> bool {
        self.gateways.contains(&address)
    }

    /// Returns the prefix of `ipam.exclude` that contains the address.
    pub(crate) fn excluded_by(&self, address: IpAddr) -> Option<IpNetwork> {
        self.exclude.prefix_of(address)
    }

    /// Returns the first address from `from` to `to` that is neither reserved nor excluded.
    pub(crate) fn first_allowed(
        &self,
        store: &mut Store,
        from: IpAddr,
        to: IpAddr,
    ) -> Result<Option<IpAddr>> {
        let mut next = Some(from);
        while let Some(from) = next.filter(|next| *next <= to) {
            let Some(free) = store.first_free(from, to)? else { return Ok(None) };
            match self.end_of_run(free) {
                Some(last) => next = successor(last),
                None => return Ok(Some(free)),
            }
        }
        Ok(None)
    }

    /// Returns whether `set` has an address that is neither reserved nor excluded.
    pub(crate) fn leaves_any(&self, store: &mut Store, set: &RangeSet) -> Result<bool> {
        for range in &set.ranges {
            if self.first_allowed(store, range.start, range.end)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns, for an excluded address, the end of the run of excluded addresses that it is known to be in.
    fn end_of_run(&self, address: IpAddr) -> Option<IpAddr> {
        let is_excluded = || self.is_gateway(address) || self.addresses.contains(&address);
        self.exclude.end_of_run(address).or_else(|| is_excluded().then_some(address))
    }
}
