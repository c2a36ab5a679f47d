//! What is in the directory.

use std::ffi::OsString;
use std::fs::{self, DirEntry, File};
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::holder::Holder;
use crate::stamp::changed;

/// Where a reservation is written before it gets its name. There is only one writer, the owner of the
/// lock: a file that stands here when the lock is had is what a killed one left.
pub(crate) const UNFINISHED: &str = ".reservation";

/// The names in the directory, as far as they say anything.
#[derive(Default)]
pub(crate) struct Listing {
    /// The files that are named by an address, as the directory has them.
    pub(crate) reservations: Vec<Reservation>,
}

/// A file that is named by an address.
pub(crate) struct Reservation {
    pub(crate) address: IpAddr,
    name: OsString,
    /// When the file changed last; only after [`Listing::read_with_times`].
    pub(crate) changed: Option<i64>,
}

impl Reservation {
    pub(crate) fn path(&self, directory: &Path) -> PathBuf {
        directory.join(&self.name)
    }

    /// Whether the file is named as its address is shown, so that it is found by its address.
    pub(crate) fn is_regular(&self) -> bool {
        self.name.to_str() == Some(self.address.to_string().as_str())
    }
}

impl Listing {
    /// Reads the names; opens no file.
    pub(crate) fn read(directory: &Path) -> io::Result<Self> {
        Self::read_entries(directory, |_| None)
    }

    /// Reads the names and times; opens no file.
    pub(crate) fn read_with_times(directory: &Path) -> io::Result<Self> {
        Self::read_entries(directory, |entry| entry.metadata().ok().map(|metadata| changed(&metadata)))
    }

    fn read_entries(directory: &Path, changed: impl Fn(&DirEntry) -> Option<i64>) -> io::Result<Self> {
        let mut listing = Self::default();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if let Some(address) = name.to_str().and_then(|name| name.parse().ok()) {
                listing.reservations.push(Reservation { address, name, changed: changed(&entry) });
            }
        }
        Ok(listing)
    }
}

/// Whom the file at `path` holds its address for. A file that cannot be read is a stranger's, so that it
/// neither is given away nor keeps the others from being looked at; one that is gone is nobody's.
pub(crate) fn holder_at(path: &Path) -> Holder {
    match read_short(path) {
        Ok(text) => Holder::parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Holder::Nobody,
        Err(error) => {
            cni::note(format_args!("weir: leaving {} alone, which cannot be read: {error}", path.display()));
            Holder::Stranger
        }
    }
}

/// Reads a file that is mostly shorter than the buffer in three system calls. What is no file (a pipe, which would
/// keep the reader waiting) is an error.
pub(crate) fn read_short(path: &Path) -> io::Result<Vec<u8>> {
    /// `O_NONBLOCK` (uapi/asm-generic/fcntl.h).
    const NONBLOCK: i32 = 0o4000;
    let mut file = File::options().read(true).custom_flags(NONBLOCK).open(path)?;
    let mut text = vec![0; 512];
    let length = file.read(&mut text)?;
    if length == 0 && !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let is_whole = length < text.len();
    text.truncate(length);
    if !is_whole {
        file.read_to_end(&mut text)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_addresses_are_reservations() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["10.0.0.2", "fd00::2", "lock", "last_reserved_ip.0", "10.0.0", "10.0.0.2.bak"] {
            fs::write(directory.path().join(name), "c1").unwrap();
        }
        let listing = Listing::read(directory.path()).unwrap();
        let mut addresses: Vec<_> =
            listing.reservations.iter().map(|reservation| reservation.address.to_string()).collect();
        addresses.sort();
        assert_eq!(addresses, ["10.0.0.2", "fd00::2"]);
    }

    #[test]
    fn a_long_text_is_read_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("10.0.0.2");
        for length in [1, 511, 512, 513, 5000] {
            let id = "a".repeat(length);
            fs::write(&path, Holder::text(&id, "eth0")).unwrap();
            assert_eq!(holder_at(&path), Holder::attachment(&id, "eth0"));
        }
    }

    #[test]
    fn a_directory_with_an_addresss_name_is_a_strangers() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("10.0.0.2")).unwrap();
        assert_eq!(holder_at(&directory.path().join("10.0.0.2")), Holder::Stranger);
    }
}
