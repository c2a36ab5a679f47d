//! The directory of a network's reservations, under its lock.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::{Result, failed};
use crate::index::Index;
use crate::listing::{self, Reservation};
use crate::lock::Lock;
use crate::released;

mod found;
mod last_reserved;
mod owner;
mod release;
mod reserve;

pub(crate) use owner::Owner;
pub(crate) use release::Seen;

/// Precedes the path of the directory in an error.
pub(crate) const CANNOT_LIST: &str = "cannot read directory";

/// How a store is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    /// How long to wait for the lock.
    pub(crate) lock_timeout: Duration,
    /// Whether a reservation survives a power loss from the moment that ADD ends.
    pub(crate) durable: bool,
    /// The cooldown of a released address; zero for none.
    pub(crate) reuse_delay: Duration,
}

impl Default for Options {
    /// Runtimes give a call a minute or more.
    fn default() -> Self {
        Self { lock_timeout: Duration::from_secs(20), durable: false, reuse_delay: Duration::ZERO }
    }
}

/// The reservations of a network, locked as long as this exists. The kernel releases the lock of a process that is
/// killed.
pub(crate) struct Store {
    directory: PathBuf,
    options: Options,
    /// Opened or built when it is first needed.
    index: Option<Index>,
    /// The addresses that this store released.
    released: Vec<IpAddr>,
    /// Whether an index that was rebuilt is not written.
    is_read_only: bool,
    _lock: Lock,
}

impl Store {
    /// Opens the store in `directory` and waits for its lock; creates a missing directory.
    pub(crate) fn create(directory: &Path, options: Options) -> Result<Self> {
        Ok(Self::locked(directory, options, Lock::create(directory, options.lock_timeout)?))
    }

    /// Opens the store in `directory`, if there is one, and waits for its lock.
    pub(crate) fn open(directory: &Path, options: Options) -> Result<Option<Self>> {
        let lock = Lock::open(directory, options.lock_timeout)?;
        Ok(lock.map(|lock| Self::locked(directory, options, lock)))
    }

    /// Opens the store as [`Store::open`] does, but never writes; returns `None` when another process has the lock.
    pub(crate) fn open_read_only(directory: &Path, options: Options) -> Result<Option<Self>> {
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

    /// Returns the directory of the reservations.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the options that the store was opened with.
    pub(crate) fn options(&self) -> Options {
        self.options
    }

    /// Returns the addresses of an attachment, those of old reservations of the whole container included.
    pub(crate) fn addresses_of(&mut self, owner: Owner) -> Result<Vec<IpAddr>> {
        Ok(self.found(owner)?.into_iter().map(|found| found.address).collect())
    }

    /// Reads the directory itself, whatever the index says.
    pub(crate) fn refresh(&mut self) -> Result<()> {
        let older = self.index.take().or_else(|| Index::open(&self.directory).map(|(index, _)| index));
        self.index = Some(self.build(older)?);
        Ok(())
    }

    /// Reads the names in the directory.
    pub(crate) fn list(&self) -> Result<Vec<Reservation>> {
        listing::list(&self.directory).map_err(failed(CANNOT_LIST, &self.directory))
    }

    /// Records that the directory changes otherwise than by reservations.
    pub(crate) fn touch(&mut self) -> Result<()> {
        self.index()?.is_changed = true;
        Ok(())
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

    fn path_of(&self, address: IpAddr) -> PathBuf {
        self.directory.join(address.to_string())
    }

    /// Ends as a killed process does: the lock is released, and nothing more is written.
    #[cfg(test)]
    pub(crate) fn forget_as_if_killed(mut self) {
        self.index = None;
        self.released.clear();
    }
}

impl Drop for Store {
    /// An error here costs the next call a look at the directory, and an address its cooldown.
    fn drop(&mut self) {
        if !self.options.reuse_delay.is_zero() && !self.released.is_empty() {
            let noted = released::note(&self.directory, &self.released, SystemTime::now());
            if let Err(error) = noted {
                cni::note(format_args!(
                    "weir: addresses that were released may be allocated again at once: {error}"
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
