//! The directory of a network's reservations, under its lock.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::{Result, failed, unreadable};
use crate::file::{publish, remove, sync_directory, write_new};
use crate::holder::Holder;
use crate::index::{Index, Vacancy};
use crate::listing::{Listing, Reservation, UNFINISHED, holder_at, read_holder};
use crate::lock::Lock;
use crate::making;
use crate::range::successor;
use crate::released;
use crate::stamp::{FileIdentity, changed};

use cni::Failure;

mod found;
mod last_reserved;
mod owner;

pub use owner::Owner;

use found::Found;

/// Before the directory of the reservations.
pub(crate) const CANNOT_LIST: &str = "cannot read directory";

/// How a store is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How long to wait for the lock.
    pub lock_timeout: Duration,
    /// Whether what is reserved survives a power loss from the moment that ADD ends.
    pub durable: bool,
    /// How long an address rests after it was given back; zero for not at all.
    pub reuse_delay: Duration,
}

impl Default for Options {
    /// Runtimes give a call a minute or more.
    fn default() -> Self {
        Self { lock_timeout: Duration::from_secs(20), durable: false, reuse_delay: Duration::ZERO }
    }
}

/// The reservations of a network, locked as long as this exists. A process that is killed loses its lock.
pub struct Store {
    directory: PathBuf,
    options: Options,
    /// Opened or built when it is first needed.
    index: Option<Index>,
    /// Given back by this store.
    released: Vec<IpAddr>,
    /// Whether an index that was built anew is forgotten.
    is_read_only: bool,
    _lock: Lock,
}

/// A reservation as it was at some time.
pub(crate) struct Seen {
    pub(crate) address: IpAddr,
    pub(crate) path: PathBuf,
    pub(crate) identity: FileIdentity,
    pub(crate) holder: Holder,
}

impl Seen {
    /// Looks at the reservation of `address` at `path`.
    ///
    /// # Errors
    /// The system's; `NotFound` when there is none.
    pub(crate) fn at(path: PathBuf, address: IpAddr) -> io::Result<Self> {
        Ok(Self { address, identity: FileIdentity::at(&path)?, holder: read_holder(&path)?, path })
    }
}

impl Store {
    /// Opens the store in `directory` and waits for its lock; makes the directory where it is missing.
    ///
    /// # Errors
    /// When the directory cannot be made, or the lock not be had in time.
    pub fn create(directory: &Path, options: Options) -> Result<Self> {
        Ok(Self::locked(directory, options, Lock::create(directory, options.lock_timeout)?))
    }

    /// Opens the store in `directory`, if there is one, and waits for its lock.
    ///
    /// # Errors
    /// When the lock cannot be had in time.
    pub fn open(directory: &Path, options: Options) -> Result<Option<Self>> {
        let lock = Lock::open(directory, options.lock_timeout)?;
        Ok(lock.map(|lock| Self::locked(directory, options, lock)))
    }

    /// As [`Store::open`], but gives `None` when another process has the lock, and writes nothing, whatever it finds.
    ///
    /// # Errors
    /// When the lock cannot be had.
    pub(crate) fn to_look_at(directory: &Path, options: Options) -> Result<Option<Self>> {
        let lock = Lock::open_if_free(directory)?;
        Ok(lock.map(|lock| {
            let mut store = Self::locked(directory, options, lock);
            store.is_read_only = true;
            store
        }))
    }

    fn locked(directory: &Path, options: Options, lock: Lock) -> Self {
        let directory = directory.to_owned();
        Self { directory, options, index: None, released: Vec::new(), is_read_only: false, _lock: lock }
    }

    /// Where the reservations are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The addresses that are held for an attachment, also by old reservations of the whole container.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn addresses_of(&mut self, owner: Owner) -> Result<Vec<IpAddr>> {
        Ok(self.found(owner)?.into_iter().map(|found| found.address).collect())
    }

    /// The first address from `from` to `to`, which are of one family, that nobody holds.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn first_free(&mut self, from: IpAddr, to: IpAddr) -> Result<Option<IpAddr>> {
        let mut from = from;
        loop {
            let vacancy = self.index()?.first_free(from, to);
            match vacancy {
                Ok(Vacancy::Free(address)) => return Ok(Some(address)),
                Ok(Vacancy::None) => return Ok(None),
                Ok(Vacancy::Unknown(address)) => {
                    let looked = self.path_of(address).symlink_metadata();
                    if looked.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
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

    /// Looks at the directory itself, whatever the index says.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn refresh(&mut self) -> Result<()> {
        let older = self.index.take().or_else(|| Index::open(&self.directory).map(|(index, _)| index));
        self.index = Some(self.build(older)?);
        Ok(())
    }

    /// Holds `address` for `owner`, unless somebody else has it. The reservation appears whole or not at
    /// all; a torn one is taken over.
    ///
    /// # Errors
    /// When a file cannot be written, or the directory not be read.
    pub fn reserve(&mut self, address: IpAddr, owner: Owner) -> Result<bool> {
        let path = self.path_of(address);
        let is_free = self.first_free(address, address)?.is_some();
        if !is_free && holder_at(&path) != Holder::Nobody {
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
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if holder_at(&path) == Holder::Nobody {
                    fs::rename(&unfinished, &path).map(|()| true).map_err(failed(&path))
                } else {
                    Ok(false)
                }
            }
            Err(error) => Err(failed(&path)(error)),
        };
        // One that stays is removed by the next who has the lock.
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
        // After the note: an index that lacks a name must never be believed.
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

    /// Gives `address` back, whoever has it.
    ///
    /// # Errors
    /// When the file cannot be removed, or the directory not be read.
    pub fn release(&mut self, address: IpAddr) -> Result<()> {
        let path = self.path_of(address);
        let holder = holder_at(&path);
        self.give_back(&Found { address, holder, path })
    }

    /// Gives back what is held for an attachment. Where nothing is held for its interface, old
    /// reservations of the whole container are given back.
    ///
    /// # Errors
    /// What could not be removed; the rest is.
    pub fn release_attachment(&mut self, owner: Owner) -> Result<()> {
        let mut errors = self.remove_unfinished()?;
        let found = self.found(owner)?;
        let is_known = found.iter().any(|found| owner.is(&found.holder));
        let ours = found.iter().filter(|found| !is_known || owner.is(&found.holder));
        errors.extend(ours.filter_map(|found| self.give_back(found).err()));
        cni::collected(errors)
    }

    /// Gives back those addresses whose file is still the one that was seen. Returns them, and what could not be
    /// removed.
    pub(crate) fn release_unchanged(
        &mut self,
        seen: impl IntoIterator<Item = Seen>,
    ) -> (Vec<IpAddr>, Vec<Failure>) {
        let (mut released, mut errors) = (Vec::new(), Vec::new());
        for Seen { address, path, identity, holder } in seen {
            let given_back = match Seen::at(path.clone(), address) {
                Ok(now) if now.identity == identity && now.holder == holder => {
                    self.give_back(&Found { address, holder, path })
                }
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => Err(unreadable(&path, error)),
            };
            match given_back {
                Ok(()) => released.push(address),
                Err(error) => errors.push(error),
            }
        }
        (released, errors)
    }

    /// The names in the directory, read anew.
    pub(crate) fn list(&self) -> Result<Vec<Reservation>> {
        let listing = Listing::read(&self.directory).map_err(failed(CANNOT_LIST, &self.directory))?;
        Ok(listing.reservations)
    }

    /// Says that the directory was changed otherwise than by giving and taking addresses.
    pub(crate) fn touch(&mut self) -> Result<()> {
        self.index()?.is_changed = true;
        Ok(())
    }

    pub(crate) fn options(&self) -> Options {
        self.options
    }

    fn give_back(&mut self, found: &Found) -> Result<()> {
        self.index()?.is_changed = true;
        remove(&found.path)?;
        self.released.push(found.address);
        let noted = self.index()?.remove(found.address, found.holder.key());
        if noted.is_err() { self.refresh() } else { Ok(()) }
    }

    fn index(&mut self) -> Result<&mut Index> {
        let index = match self.index.take() {
            Some(index) => index,
            None => match Index::open(&self.directory) {
                Some((index, true)) => index,
                older => self.build(older.map(|(index, _)| index))?,
            },
        };
        Ok(self.index.insert(index))
    }

    fn build(&self, older: Option<Index>) -> Result<Index> {
        Index::build(&self.directory, older).map_err(failed(CANNOT_LIST, &self.directory))
    }

    /// Removes what a killed writer left; returns why it could not.
    pub(crate) fn remove_unfinished(&mut self) -> Result<Vec<Failure>> {
        self.index()?;
        let unfinished = self.directory.join(UNFINISHED);
        match fs::remove_file(&unfinished) {
            Ok(()) => self.touch().map(|()| Vec::new()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Ok(vec![failed("cannot remove", &unfinished)(error)]),
        }
    }

    /// Ends as a process does that is killed: the lock goes, and nothing is written any more.
    #[cfg(test)]
    pub(crate) fn forget_as_if_killed(mut self) {
        self.index = None;
        self.released.clear();
    }

    fn path_of(&self, address: IpAddr) -> PathBuf {
        self.directory.join(address.to_string())
    }
}

impl Drop for Store {
    /// What goes wrong here costs the next call a look at the directory, and an address its rest.
    fn drop(&mut self) {
        if !self.options.reuse_delay.is_zero() && !self.released.is_empty() {
            let noted = released::note(&self.directory, &self.released, SystemTime::now());
            if let Err(error) = noted {
                cni::note(format_args!(
                    "weir: addresses that were given back may be handed out at once: {error}"
                ));
            }
        }
        if !self.is_read_only
            && let Some(index) = self.index.as_mut().filter(|index| index.is_changed)
            && index.commit(&self.directory).is_err()
        {
            Index::remove_from(&self.directory);
        }
    }
}

#[cfg(test)]
mod tests;
