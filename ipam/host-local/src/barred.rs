//! Addresses that may be free and are given to nobody all the same.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::config::Config;
use crate::error::Result;
use crate::exclusions::Exclusions;
use crate::range::successor;
use crate::range_set::RangeSet;
use crate::store::Store;

/// The gateways of all ranges, what the config excludes, and what rests after it was given back.
pub(crate) struct Barred<'a> {
    gateways: HashSet<IpAddr>,
    exclude: &'a Exclusions,
    /// What rests, and what turned out not to be free.
    single: HashSet<IpAddr>,
}

impl<'a> Barred<'a> {
    pub(crate) fn new(config: &'a Config, resting: &[IpAddr]) -> Self {
        let ranges = config.sets.iter().flat_map(|set| &set.ranges);
        Self {
            gateways: ranges.map(|range| range.gateway).collect(),
            exclude: &config.exclude,
            single: resting.iter().copied().collect(),
        }
    }

    /// Bars one more address.
    pub(crate) fn bar(&mut self, address: IpAddr) {
        self.single.insert(address);
    }

    pub(crate) fn is_gateway(&self, address: IpAddr) -> bool {
        self.gateways.contains(&address)
    }

    /// The prefix of `ipam.exclude` that the address is in.
    pub(crate) fn excluded_by(&self, address: IpAddr) -> Option<IpNetwork> {
        self.exclude.prefix_of(address)
    }

    /// The first address from `from` to `to` that nobody holds and that is not barred.
    ///
    /// # Errors
    /// As [`Store::first_free`].
    pub(crate) fn first_allowed(
        &self,
        store: &mut Store,
        from: IpAddr,
        to: IpAddr,
    ) -> Result<Option<IpAddr>> {
        let mut next = Some(from);
        while let Some(from) = next.filter(|next| *next <= to) {
            let Some(free) = store.first_free(from, to)? else { return Ok(None) };
            match self.last_of_barrier(free) {
                Some(last) => next = successor(last),
                None => return Ok(Some(free)),
            }
        }
        Ok(None)
    }

    /// Whether an address of `set` is free and not barred.
    ///
    /// # Errors
    /// As [`Store::first_free`].
    pub(crate) fn leaves_any(&self, store: &mut Store, set: &RangeSet) -> Result<bool> {
        for range in &set.ranges {
            if self.first_allowed(store, range.start, range.end)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// For a barred address, the last one in a row that is barred with it.
    fn last_of_barrier(&self, address: IpAddr) -> Option<IpAddr> {
        let is_barred = || self.is_gateway(address) || self.single.contains(&address);
        self.exclude.end_of_run(address).or_else(|| is_barred().then_some(address))
    }
}
