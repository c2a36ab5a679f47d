//! The names in the directory, and the holders that reservations name.

use std::ffi::OsString;
use std::fs::{self, DirEntry};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::file;
use crate::holder::Holder;
use crate::stamp::changed;

/// A reservation is written here before it gets its name. Only the owner of the lock writes, so a file that is here
/// when the lock is taken was left by a killed writer.
pub(crate) const UNFINISHED: &str = ".reservation";
/// More bytes than a container ID and an interface name need.
const LONGEST_RESERVATION: usize = 64 * 1024;

/// A file that is named by an address.
pub(crate) struct Reservation {
    pub(crate) address: IpAddr,
    name: OsString,
    /// When the file changed last; only after [`list_with_times`], and only for a file with readable metadata.
    pub(crate) changed: Option<i64>,
}

impl Reservation {
    pub(crate) fn path(&self, directory: &Path) -> PathBuf {
        directory.join(&self.name)
    }

    /// Returns whether the name is the canonical text of its address, by which it is found.
    pub(crate) fn is_regular(&self) -> bool {
        self.name.to_str() == Some(self.address.to_string().as_str())
    }
}

/// Lists the files in the directory that are named by an address, in its order; opens none.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<Reservation>> {
    list_entries(directory, |_| Some(None))
}

/// As [`list`], with times.
pub(crate) fn list_with_times(directory: &Path) -> io::Result<Vec<Reservation>> {
    list_entries(directory, |entry| match entry.metadata() {
        Ok(metadata) => Some(Some(changed(&metadata))),
        // It was removed after its name was read.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(_) => Some(None),
    })
}

fn list_entries(
    directory: &Path,
    changed: impl Fn(&DirEntry) -> Option<Option<i64>>,
) -> io::Result<Vec<Reservation>> {
    let mut reservations = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let address = name.to_str().and_then(|name| name.parse().ok());
        if let Some(address) = address
            && let Some(changed) = changed(&entry)
        {
            reservations.push(Reservation { address, name, changed });
        }
    }
    Ok(reservations)
}

/// Returns the holder of the reservation at `path`. The holder of a file that cannot be read is unknown, so that the
/// address is not allocated and the other files are read; that of a missing file is empty.
pub(crate) fn holder_at(path: &Path) -> Holder {
    read_holder(path).unwrap_or_else(|error| {
        note_unreadable(path, &error);
        Holder::Unknown
    })
}

/// Returns the holder as [`holder_at`] does, for callers that report a file which cannot be read now. The holder of a
/// file that is no reservation at all, such as a FIFO, is unknown here too.
pub(crate) fn read_holder(path: &Path) -> io::Result<Holder> {
    match file::read(path, LONGEST_RESERVATION) {
        Ok(text) => Ok(Holder::parse(&text)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => Ok(Holder::Empty),
            io::ErrorKind::InvalidInput | io::ErrorKind::FileTooLarge => {
                note_unreadable(path, &error);
                Ok(Holder::Unknown)
            }
            _ => Err(error),
        },
    }
}

fn note_unreadable(path: &Path, error: &io::Error) {
    cni::note(format_args!("weir: ignoring {}, which cannot be read: {error}", path.display()));
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
        let listing = list(directory.path()).unwrap();
        let mut addresses: Vec<_> =
            listing.iter().map(|reservation| reservation.address.to_string()).collect();
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
    fn a_text_longer_than_any_reservation_and_a_symbolic_link_have_an_unknown_holder() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("10.0.0.2"), "a".repeat(LONGEST_RESERVATION + 1)).unwrap();
        fs::write(path("elsewhere"), "c1\r\neth0").unwrap();
        std::os::unix::fs::symlink("elsewhere", path("10.0.0.3")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("10.0.0.4")).unwrap();
        for name in ["10.0.0.2", "10.0.0.3", "10.0.0.4"] {
            assert_eq!(holder_at(&path(name)), Holder::Unknown, "{name}");
        }
    }

    #[test]
    fn a_directory_named_by_an_address_has_an_unknown_holder() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("10.0.0.2")).unwrap();
        assert_eq!(holder_at(&directory.path().join("10.0.0.2")), Holder::Unknown);
    }
}
