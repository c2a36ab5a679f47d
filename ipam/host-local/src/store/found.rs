//! Finding the reservations of an attachment.

use std::net::IpAddr;
use std::path::PathBuf;

use super::{Owner, Store};
use crate::error::Result;
use crate::holder::Holder;
use crate::index::key_of_container;
use crate::listing::{Reservation, holder_at};

/// A reservation and its holder.
pub(super) struct Found {
    pub(super) address: IpAddr,
    pub(super) holder: Holder,
    pub(super) path: PathBuf,
}

impl Store {
    /// Returns the reservations of an attachment, old ones of the whole container included.
    pub(super) fn found(&mut self, owner: Owner) -> Result<Vec<Found>> {
        for _ in 0..2 {
            if self.index()?.has_irregular() {
                break;
            }
            match self.found_by_index(owner)? {
                Some(found) => return Ok(found),
                None => self.refresh()?,
            }
        }
        Ok(self.scan()?.into_iter().filter(|found| owner.has(&found.holder)).collect())
    }

    /// Returns the reservations that the index names; `None` when it is wrong.
    fn found_by_index(&mut self, owner: Owner) -> Result<Option<Vec<Found>>> {
        let mut all = Vec::new();
        for key in [owner.key(), key_of_container(owner.container_id)] {
            let Ok(entries) = self.index()?.find(key) else { return Ok(None) };
            for entry in entries {
                let path = self.path_of(entry.address);
                let holder = holder_at(&path);
                if holder.key() != Some(key) {
                    return Ok(None);
                }
                all.push(Found { address: entry.address, holder, path });
            }
        }
        all.retain(|found| owner.has(&found.holder));
        Ok(Some(all))
    }

    /// Reads every reservation from its file.
    pub(super) fn scan(&self) -> Result<Vec<Found>> {
        let found = |reservation: Reservation| {
            let path = reservation.path(&self.directory);
            Found { address: reservation.address, holder: holder_at(&path), path }
        };
        Ok(self.list()?.into_iter().map(found).collect())
    }
}
