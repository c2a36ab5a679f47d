//! Which address an attachment gets.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use cni::IpConfig;
use ipnetwork::IpNetwork;

use crate::barred::Barred;
use crate::boot;
use crate::config::Config;
use crate::error::{Result, duplicate, exhausted, held, refused, unfulfilled};
use crate::listing::holder_at;
use crate::range::Range;
use crate::range_set::RangeSet;
use crate::released;
use crate::search::next_free;
use crate::store::{Owner, Store};

/// Allocates for one attachment, one range set after the other.
pub(crate) struct Allocator<'a> {
    store: &'a mut Store,
    owner: Owner<'a>,
    barred: Barred<'a>,
    reclaim_after_reboot: bool,
    /// What the attachment had before.
    own: Vec<IpAddr>,
    /// What was given back a short time ago, the earliest first.
    resting: Vec<IpAddr>,
}

impl<'a> Allocator<'a> {
    /// An allocator that never hands out a gateway of the config's sets.
    pub(crate) fn new(store: &'a mut Store, owner: Owner<'a>, config: &'a Config) -> Result<Self> {
        let own = store.addresses_of(owner)?;
        let delay = store.options().reuse_delay;
        let resting = match delay.is_zero() {
            true => Vec::new(),
            false => {
                store.touch()?;
                released::resting(store.directory(), delay, SystemTime::now())
            }
        };
        let barred = Barred::new(config, &resting);
        Ok(Self { store, owner, barred, reclaim_after_reboot: config.reclaim_after_reboot, own, resting })
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
        let other = self.own.iter().find(|own| set.range_of(**own).is_some() && Some(**own) != requested);
        if let Some(&address) = other {
            return Err(duplicate(address, self.owner.container_id, &self.reservation(address)));
        }
        let (address, range) = match requested {
            Some(address) => self.reserve_requested(set, address)?,
            None => self.reserve_next(number, set)?,
        };
        if let Err(error) = self.store.set_last_reserved(number, address) {
            cni::note(format_args!(
                "weir: the next address of range set {number} will not be the one after {address}: {error}"
            ));
        }
        let address = IpNetwork::new(address, range.subnet.prefix()).unwrap_or_else(|_| address.into());
        Ok(IpConfig { interface: None, address, gateway: Some(range.gateway) })
    }

    /// The file that holds an address.
    fn reservation(&self, address: IpAddr) -> PathBuf {
        self.store.directory().join(address.to_string())
    }

    fn reserve_requested<'s>(&mut self, set: &'s RangeSet, address: IpAddr) -> Result<(IpAddr, &'s Range)> {
        let Some(range) = set.range_of(address) else {
            return Err(unfulfilled(&[address], std::slice::from_ref(set)));
        };
        if self.barred.is_gateway(address) {
            return Err(refused(format!("requested ip {address} is subnet's gateway")));
        }
        if let Some(by) = self.barred.excluded_by(address) {
            return Err(refused(format!("requested IP address {address} is excluded by ipam.exclude: {by}")));
        }
        if self.store.reserve(address, self.owner)? {
            return Ok((address, range));
        }
        let path = self.reservation(address);
        Err(held(address, set, &holder_at(&path), &path))
    }

    /// In this order: what the index says is free; what the directory itself says, when there is none;
    /// what rests; what is left from before the last boot.
    fn reserve_next<'s>(&mut self, number: usize, set: &'s RangeSet) -> Result<(IpAddr, &'s Range)> {
        if let Some(found) = self.reserve_free(number, set)? {
            return Ok(found);
        }
        self.store.refresh()?;
        if let Some(found) = self.reserve_free(number, set)? {
            return Ok(found);
        }
        for address in self.resting.clone() {
            if let Some(range) = set.range_of(address)
                && !self.barred.is_gateway(address)
                && self.barred.excluded_by(address).is_none()
                && self.store.reserve(address, self.owner)?
            {
                return Ok((address, range));
            }
        }
        if self.reclaim_after_reboot
            && boot::reclaim(self.store, set)? > 0
            && let Some(found) = self.reserve_free(number, set)?
        {
            return Ok(found);
        }
        Err(exhausted(set))
    }

    fn reserve_free<'s>(&mut self, number: usize, set: &'s RangeSet) -> Result<Option<(IpAddr, &'s Range)>> {
        let last = self.store.last_reserved(number);
        loop {
            let first_free = |from, to| self.barred.first_allowed(self.store, from, to);
            let Some((address, range)) = next_free(set, last, first_free)? else { return Ok(None) };
            if self.store.reserve(address, self.owner)? {
                return Ok(Some((address, range)));
            }
            // It is not free after all: whatever the store makes of that, it is not tried again.
            self.barred.bar(address);
        }
    }

    /// Gives back what [`Allocator::allocate`] reserved.
    pub(crate) fn undo(&mut self, reserved: &[IpConfig]) {
        for config in reserved {
            if let Err(error) = self.store.release(config.address.ip()) {
                cni::note(format_args!("weir: an address of an ADD that failed stays reserved: {error}"));
            }
        }
    }
}
