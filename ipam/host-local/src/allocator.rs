//! Chooses the addresses of an attachment.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use cni::IpConfig;
use ipnetwork::IpNetwork;

use crate::boot;
use crate::config::Config;
use crate::error::{Result, duplicate, exhausted, held, refused, unfulfilled};
use crate::exclusions::Exclusions;
use crate::listing::holder_at;
use crate::range::Range;
use crate::range_set::RangeSet;
use crate::released;
use crate::search::next_free;
use crate::store::{Owner, Store};

/// Allocates addresses to one attachment, one range set after the other.
pub(crate) struct Allocator<'a> {
    store: &'a mut Store,
    owner: Owner<'a>,
    exclusions: Exclusions<'a>,
    reclaim_after_reboot: bool,
    /// The addresses that the attachment has already.
    own: Vec<IpAddr>,
    /// The addresses in cooldown, the earliest first.
    in_cooldown: Vec<IpAddr>,
}

impl<'a> Allocator<'a> {
    /// Returns an allocator for `owner`.
    pub(crate) fn new(store: &'a mut Store, owner: Owner<'a>, config: &'a Config) -> Result<Self> {
        let own = store.addresses_of(owner)?;
        let delay = store.options().reuse_delay;
        let in_cooldown = match delay.is_zero() {
            true => Vec::new(),
            false => {
                store.touch()?;
                released::in_cooldown(store.directory(), delay, SystemTime::now())
            }
        };
        let exclusions = Exclusions::new(config, &in_cooldown);
        let reclaim_after_reboot = config.reclaim_after_reboot;
        Ok(Self { store, owner, exclusions, reclaim_after_reboot, own, in_cooldown })
    }

    /// Reserves an address of `set`, which is number `number` in the config: the requested one, or else the first free
    /// one after the last one that was allocated.
    ///
    /// # Errors
    /// When there is none; nothing is reserved then.
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

    /// Returns the path of an address's reservation.
    fn reservation(&self, address: IpAddr) -> PathBuf {
        self.store.directory().join(address.to_string())
    }

    fn reserve_requested<'s>(&mut self, set: &'s RangeSet, address: IpAddr) -> Result<(IpAddr, &'s Range)> {
        let Some(range) = set.range_of(address) else {
            return Err(unfulfilled(&[address], std::slice::from_ref(set)));
        };
        if self.exclusions.is_gateway(address) {
            return Err(refused(format!("requested ip {address} is subnet's gateway")));
        }
        if let Some(by) = self.exclusions.excluded_by(address) {
            return Err(refused(format!("requested IP address {address} is excluded by ipam.exclude: {by}")));
        }
        if self.store.reserve(address, self.owner)? {
            return Ok((address, range));
        }
        let path = self.reservation(address);
        Err(held(address, set, &holder_at(&path), &path))
    }

    /// Tries, in this order: what is free by the index; what is free by the directory itself; addresses in cooldown;
    /// what is left from before the last boot.
    fn reserve_next<'s>(&mut self, number: usize, set: &'s RangeSet) -> Result<(IpAddr, &'s Range)> {
        if let Some(found) = self.reserve_free(number, set)? {
            return Ok(found);
        }
        self.store.refresh()?;
        if let Some(found) = self.reserve_free(number, set)? {
            return Ok(found);
        }
        for address in self.in_cooldown.clone() {
            if let Some(range) = set.range_of(address)
                && !self.exclusions.is_gateway(address)
                && self.exclusions.excluded_by(address).is_none()
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
            let first_free = |from, to| self.exclusions.first_allowed(self.store, from, to);
            let Some((address, range)) = next_free(set, last, first_free)? else { return Ok(None) };
            if self.store.reserve(address, self.owner)? {
                return Ok(Some((address, range)));
            }
            // It is not free after all. Without this it could be tried again for ever.
            self.exclusions.add(address);
        }
    }

    /// Releases what [`Allocator::allocate`] reserved.
    pub(crate) fn undo(&mut self, reserved: &[IpConfig]) {
        for config in reserved {
            if let Err(error) = self.store.release(config.address.ip()) {
                cni::note(format_args!("weir: an address of an ADD that failed stays reserved: {error}"));
            }
        }
    }
}
