//! Files of the directory: regular ones, that appear and go as a whole, and that only their owner reads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::Path;

use linux::{SymbolicLinks, create_new_private, open_regular, read_regular};
pub(crate) use linux::{create_private as create, replace_private as replace, write_private as write_new};

use crate::error::{Result, failed};

/// Reads a file of the directory. Others may put names there: what is not a regular file is an error, and so is one
/// that is longer than `limit`.
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
        // Another process may make it at this moment.
        match create_new_private(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            created => return created,
        }
    }
}

/// Gives a finished file its name, unless something has that name (`AlreadyExists`).
///
/// Where the file system has no hard links the file is renamed. The name is known to be free then, because a process
/// that takes names has the directory's lock.
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

/// link(2): `EPERM` where the file system has none; network and user space file systems say otherwise.
fn lacks_hard_links(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported | ErrorKind::TooManyLinks)
}

/// Waits until the directory's names are on the disk.
pub(crate) fn sync_directory(directory: &Path) -> Result<()> {
    let synced = File::open(directory).and_then(|file| file.sync_all());
    synced.map_err(failed("cannot write", directory))
}

/// Removes a file; one that is gone already is fine.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("cannot remove", path)(error)),
        _ => Ok(()),
    }
}
