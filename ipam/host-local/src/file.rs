//! Files of the directory: regular files that appear as a whole and that only their owner can read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::Path;

use linux::{SymbolicLinks, create_new_private, open_regular, read_regular};
pub(crate) use linux::{create_private as create, replace_private as replace, write_private as write_new};

use crate::error::{Result, failed};

/// Reads a file of the directory. Other programs may create names there.
///
/// # Errors
/// The system's; `InvalidInput` for what is not a regular file, `FileTooLarge` for one longer than `limit`.
pub(crate) fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    read_regular(path, limit, SymbolicLinks::Refuse)
}

/// Opens a file of the directory to read and write it.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    open_regular(path, OpenOptions::new().read(true).write(true), SymbolicLinks::Refuse)
}

/// As [`open`]; makes the file where it is missing.
pub(crate) fn open_or_create(path: &Path) -> io::Result<File> {
    loop {
        match open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            opened => return opened,
        }
        // Another process may create it at this moment.
        match create_new_private(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            created => return created,
        }
    }
}

/// Gives a finished file its name.
///
/// Where the file system has no hard links, the file is renamed: the name stays free after the check, because every
/// process that creates names has the directory's lock.
///
/// # Errors
/// `AlreadyExists` when the name is taken, or the system's.
pub(crate) fn publish(unfinished: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(unfinished, path) {
        Err(error) if lacks_hard_links(&error) => match path.symlink_metadata() {
            Ok(_) => Err(ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == ErrorKind::NotFound => fs::rename(unfinished, path),
            Err(error) => Err(error),
        },
        linked => linked,
    }
}

/// Returns whether link(2) failed for the file system: with `EPERM`, on network and user space file systems with
/// others.
fn lacks_hard_links(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported | ErrorKind::TooManyLinks)
}

/// Writes the directory's names to the disk.
pub(crate) fn sync_directory(directory: &Path) -> Result<()> {
    let synced = File::open(directory).and_then(|file| file.sync_all());
    synced.map_err(failed("cannot write", directory))
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("cannot remove", path)(error)),
        _ => Ok(()),
    }
}
