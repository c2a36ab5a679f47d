//! Releasing addresses.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::PathBuf;

use cni::Failure;

use super::found::Found;
use super::{Owner, Store};
use crate::error::{Result, failed, unreadable};
use crate::file::remove;
use crate::holder::Holder;
use crate::listing::{UNFINISHED, holder_at, read_holder};
use crate::stamp::FileIdentity;

/// A reservation as it was at some time.
pub(crate) struct Seen {
    pub(crate) address: IpAddr,
    pub(crate) path: PathBuf,
    pub(crate) identity: FileIdentity,
    pub(crate) holder: Holder,
}

impl Seen {
    /// Reads the reservation of `address` at `path`.
    ///
    /// # Errors
    /// The system's; `NotFound` when there is none.
    pub(crate) fn at(path: PathBuf, address: IpAddr) -> io::Result<Self> {
        Ok(Self { address, identity: FileIdentity::at(&path)?, holder: read_holder(&path)?, path })
    }
}

impl Store {
    /// Releases `address`, whatever its holder.
    pub(crate) fn release(&mut self, address: IpAddr) -> Result<()> {
        let path = self.path_of(address);
        let holder = holder_at(&path);
        self.remove(&Found { address, holder, path })
    }

    /// Releases the addresses of an attachment; where its interface has none, those of old reservations of the whole
    /// container.
    ///
    /// # Errors
    /// When reservations could not be removed; the others are.
    pub(crate) fn release_attachment(&mut self, owner: Owner) -> Result<()> {
        let mut errors = self.remove_unfinished()?;
        let found = self.found(owner)?;
        let is_known = found.iter().any(|found| owner.is(&found.holder));
        let ours = found.iter().filter(|found| !is_known || owner.is(&found.holder));
        errors.extend(ours.filter_map(|found| self.remove(found).err()));
        cni::collected(errors)
    }

    /// Releases those addresses whose file is unchanged. Returns them, and why others could not be released.
    pub(crate) fn release_unchanged(
        &mut self,
        seen: impl IntoIterator<Item = Seen>,
    ) -> (Vec<IpAddr>, Vec<Failure>) {
        let (mut released, mut errors) = (Vec::new(), Vec::new());
        for Seen { address, path, identity, holder } in seen {
            let removed = match Seen::at(path.clone(), address) {
                Ok(now) if now.identity == identity && now.holder == holder => {
                    self.remove(&Found { address, holder, path })
                }
                Ok(_) => continue,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => Err(unreadable(&path, error)),
            };
            match removed {
                Ok(()) => released.push(address),
                Err(error) => errors.push(error),
            }
        }
        (released, errors)
    }

    /// Removes what a killed writer left; returns why it could not.
    pub(crate) fn remove_unfinished(&mut self) -> Result<Vec<Failure>> {
        self.index()?;
        let unfinished = self.directory.join(UNFINISHED);
        match fs::remove_file(&unfinished) {
            Ok(()) => self.touch().map(|()| Vec::new()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Ok(vec![failed("cannot remove", &unfinished)(error)]),
        }
    }

    fn remove(&mut self, found: &Found) -> Result<()> {
        self.index()?.is_changed = true;
        remove(&found.path)?;
        self.released.push(found.address);
        let noted = self.index()?.remove(found.address, found.holder.key());
        if noted.is_err() { self.refresh() } else { Ok(()) }
    }
}
