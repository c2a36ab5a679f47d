//! Reserving an address.

use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;

use super::{Owner, Store};
use crate::error::{Result, failed};
use crate::file::{publish, sync_directory, write_new};
use crate::holder::Holder;
use crate::index::Vacancy;
use crate::listing::{UNFINISHED, holder_at};
use crate::making;
use crate::range::successor;
use crate::stamp::changed;

impl Store {
    /// Returns the first address from `from` to `to`, both of one family, that has no reservation.
    pub(crate) fn first_free(&mut self, from: IpAddr, to: IpAddr) -> Result<Option<IpAddr>> {
        let mut from = from;
        loop {
            let vacancy = self.index()?.first_free(from, to);
            match vacancy {
                Ok(Vacancy::Free(address)) => return Ok(Some(address)),
                Ok(Vacancy::None) => return Ok(None),
                Ok(Vacancy::Unknown(address)) => {
                    let looked = self.path_of(address).symlink_metadata();
                    if looked.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
                        return Ok(Some(address));
                    }
                    match successor(address).filter(|next| *next <= to) {
                        Some(next) => from = next,
                        None => return Ok(None),
                    }
                }
                Err(_) => self.refresh()?,
            }
        }
    }

    /// Reserves `address` for `owner` and returns whether that succeeded: another reservation may be there. The new one
    /// appears whole or not at all; it replaces an empty one.
    pub(crate) fn reserve(&mut self, address: IpAddr, owner: Owner) -> Result<bool> {
        let path = self.path_of(address);
        let is_free = self.first_free(address, address)?.is_some();
        if !is_free && holder_at(&path) != Holder::Empty {
            return Ok(false);
        }
        self.index()?.is_changed = true;
        let unfinished = self.directory.join(UNFINISHED);
        let failed = |path| failed("cannot write", path);
        let text = Holder::text(owner.container_id, owner.interface);
        let written = write_new(&unfinished, text.as_bytes(), self.options.durable);
        making::mark(written.map_err(failed(&unfinished))?);
        let reserved = match publish(&unfinished, &path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if holder_at(&path) == Holder::Empty {
                    fs::rename(&unfinished, &path).map(|()| true).map_err(failed(&path))
                } else {
                    Ok(false)
                }
            }
            Err(error) => Err(failed(&path)(error)),
        };
        // The next process with the lock removes one that stays.
        let _ = fs::remove_file(&unfinished);
        match reserved {
            Ok(true) => self.note_reserved(address, &path, owner)?,
            // The index said that it is free.
            Ok(false) => self.refresh()?,
            Err(_) => {}
        }
        reserved
    }

    fn note_reserved(&mut self, address: IpAddr, path: &Path, owner: Owner) -> Result<()> {
        let changed = path.symlink_metadata().map_or(0, |metadata| changed(&metadata));
        if self.index()?.insert(address, Some(owner.key()), changed).is_err() {
            self.refresh()?;
        }
        // After the index: one that lacks a name must never be trusted.
        if self.options.durable
            && let Err(error) = sync_directory(&self.directory)
        {
            if let Err(second) = self.release(address) {
                cni::note(format_args!("weir: {address} stays reserved: {second}"));
            }
            return Err(error);
        }
        Ok(())
    }
}
