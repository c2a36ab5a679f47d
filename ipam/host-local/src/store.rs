//! The directory of a network's reservations, under its lock.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::holder::Holder;
use crate::listing::{Listing, UNFINISHED, holder_at, read_short};
use crate::lock::Lock;

const LAST_RESERVED: &str = "last_reserved_ip.";

/// The reservations of a network, locked as long as this exists. A process that is killed loses its lock.
pub struct Store {
    directory: PathBuf,
    /// Read once, until this store changes something.
    listing: Option<Listing>,
    _lock: Lock,
}

/// The attachment that an address is held for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner<'a> {
    /// The container's ID.
    pub container_id: &'a str,
    /// The interface's name.
    pub interface: &'a str,
}

impl Store {
    /// Opens the store in `directory` and waits for its lock; makes the directory where it is missing.
    ///
    /// # Errors
    /// [`Error::CreateDirectory`], [`Error::OpenLock`], [`Error::Lock`].
    pub fn create(directory: &Path) -> Result<Self> {
        Ok(Self::locked(directory, Lock::create(directory)?))
    }

    /// Opens the store in `directory`, if there is one, and waits for its lock.
    ///
    /// # Errors
    /// [`Error::OpenLock`], [`Error::Lock`].
    pub fn open(directory: &Path) -> Result<Option<Self>> {
        Ok(Lock::open(directory)?.map(|lock| Self::locked(directory, lock)))
    }

    fn locked(directory: &Path, lock: Lock) -> Self {
        Self { directory: directory.to_owned(), listing: None, _lock: lock }
    }

    /// The addresses that have a file. Some may turn out to be [`Store::torn`].
    ///
    /// # Errors
    /// [`Error::List`].
    pub fn held(&mut self) -> Result<HashSet<IpAddr>> {
        Ok(self.listing()?.reservations.iter().map(|reservation| reservation.address).collect())
    }

    /// The addresses whose file holds them for nobody. [`Store::reserve`] takes them.
    ///
    /// # Errors
    /// [`Error::List`].
    pub fn torn(&mut self) -> Result<Vec<IpAddr>> {
        self.select(|holder| *holder == Holder::Nobody)
    }

    /// The addresses that are held for an attachment, also by old reservations of the whole container.
    ///
    /// # Errors
    /// [`Error::List`].
    pub fn addresses_of(&mut self, owner: Owner) -> Result<Vec<IpAddr>> {
        self.select(|holder| owner.is(holder) || owner.is_of(holder))
    }

    /// Holds `address` for `owner`, unless somebody else has it. The reservation appears whole or not at
    /// all; a torn one is taken over.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn reserve(&mut self, address: IpAddr, owner: Owner) -> Result<bool> {
        self.listing = None;
        let path = self.path_of(address);
        let unfinished = self.directory.join(UNFINISHED);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Write { path, source }
        };
        let text = Holder::text(owner.container_id, owner.interface);
        write_new(&unfinished, text.as_bytes()).map_err(failed(&unfinished))?;
        let reserved = match fs::hard_link(&unfinished, &path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if holder_at(&path) == Holder::Nobody {
                    return fs::rename(&unfinished, &path).map(|()| true).map_err(failed(&path));
                }
                Ok(false)
            }
            Err(error) => Err(failed(&path)(error)),
        };
        // One that stays is removed by the next who has the lock.
        let _ = fs::remove_file(&unfinished);
        reserved
    }

    /// Gives `address` back, whoever has it.
    ///
    /// # Errors
    /// [`Error::Remove`].
    pub fn release(&mut self, address: IpAddr) -> Result<()> {
        self.listing = None;
        remove(&self.path_of(address))
    }

    /// Gives back what is held for an attachment. Where nothing is held for its interface, old
    /// reservations of the whole container are given back.
    ///
    /// # Errors
    /// What could not be removed; the rest is.
    pub fn release_attachment(&mut self, owner: Owner) -> Result<()> {
        let mut errors = self.remove_unfinished()?;
        let directory = self.directory.clone();
        let holders: Vec<_> = (self.listing()?.reservations.iter())
            .map(|reservation| reservation.path(&directory))
            .map(|path| (holder_at(&path), path))
            .collect();
        let is_known = holders.iter().any(|(holder, _)| owner.is(holder));
        let is_ours = |holder: &Holder| if is_known { owner.is(holder) } else { owner.is_of(holder) };
        let ours = holders.iter().filter(|(holder, _)| is_ours(holder));
        errors.extend(ours.filter_map(|(_, path)| remove(path).err()));
        self.listing = None;
        Error::collected(errors)
    }

    /// Gives back every address whose holder `is_stale`.
    ///
    /// # Errors
    /// What could not be removed; the rest is.
    pub fn release_stale(&mut self, is_stale: impl Fn(&Holder) -> bool) -> Result<()> {
        let mut errors = self.remove_unfinished()?;
        let directory = self.directory.clone();
        for reservation in &self.listing()?.reservations {
            let path = reservation.path(&directory);
            if is_stale(&holder_at(&path)) {
                errors.extend(remove(&path).err());
            }
        }
        self.listing = None;
        Error::collected(errors)
    }

    /// The address that range set `set` handed out last. What cannot be read only costs the round robin
    /// its place.
    pub fn last_reserved(&self, set: usize) -> Option<IpAddr> {
        let text = read_short(&self.last_reserved_path(set)).ok()?;
        std::str::from_utf8(&text).ok()?.trim().parse().ok()
    }

    /// Notes the address that range set `set` handed out last.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn set_last_reserved(&self, set: usize, address: IpAddr) -> Result<()> {
        let path = self.last_reserved_path(set);
        let text = address.to_string();
        // Not truncated first: that would leave it empty when we are killed, and have ext4 write it to the
        // disk when it is closed, which costs more than the rest of an ADD.
        (OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path))
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                let length = text.len() as u64;
                if file.metadata()?.len() == length { Ok(()) } else { file.set_len(length) }
            })
            .map_err(|source| Error::Write { path, source })
    }

    fn select(&mut self, is_wanted: impl Fn(&Holder) -> bool) -> Result<Vec<IpAddr>> {
        let directory = self.directory.clone();
        let reservations = self.listing()?.reservations.iter();
        let wanted = reservations.filter(|reservation| is_wanted(&holder_at(&reservation.path(&directory))));
        Ok(wanted.map(|reservation| reservation.address).collect())
    }

    fn listing(&mut self) -> Result<&Listing> {
        let listing = match self.listing.take() {
            Some(listing) => listing,
            None => Listing::read(&self.directory)
                .map_err(|source| Error::List { path: self.directory.clone(), source })?,
        };
        Ok(self.listing.insert(listing))
    }

    fn remove_unfinished(&mut self) -> Result<Vec<Error>> {
        let has_unfinished = self.listing()?.has_unfinished;
        let removed = has_unfinished.then(|| remove(&self.directory.join(UNFINISHED)));
        Ok(removed.and_then(Result::err).into_iter().collect())
    }

    fn path_of(&self, address: IpAddr) -> PathBuf {
        self.directory.join(address.to_string())
    }

    fn last_reserved_path(&self, set: usize) -> PathBuf {
        self.directory.join(format!("{LAST_RESERVED}{set}"))
    }
}

impl Owner<'_> {
    /// Whether a reservation is this attachment's.
    fn is(&self, holder: &Holder) -> bool {
        matches!(holder, Holder::Attachment { container_id, interface }
            if container_id == self.container_id && interface == self.interface)
    }

    /// Whether a reservation is this attachment's container's, with no interface named.
    fn is_of(&self, holder: &Holder) -> bool {
        matches!(holder, Holder::Container { container_id } if container_id == self.container_id)
    }
}

/// Writes a file that must not be the one that a killed writer left: that one may have got its second name
/// already, so that writing into it would change a reservation.
///
/// Here is where a reservation would be made to survive a power loss.
fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = match open() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            open()?
        }
        opened => opened?,
    };
    file.write_all(text).inspect_err(|_| {
        let _ = fs::remove_file(path);
    })
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::Remove { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
