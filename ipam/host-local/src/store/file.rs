//! Files of the directory that appear and go as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::{Error, Result};

/// Writes a file that must not be the one that a killed writer left: that one may have got its second name
/// already, so that writing into it would change a reservation.
///
/// Before a `durable` one gets its name, its content is on the disk.
pub(super) fn write_new(path: &Path, text: &[u8], durable: bool) -> io::Result<()> {
    let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = match open() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            open()?
        }
        opened => opened?,
    };
    let written = file.write_all(text).and_then(|()| if durable { file.sync_all() } else { Ok(()) });
    written.inspect_err(|_| {
        let _ = fs::remove_file(path);
    })
}

/// Waits until the directory's names are on the disk.
pub(super) fn sync_directory(directory: &Path) -> Result<()> {
    let synced = File::open(directory).and_then(|file| file.sync_all());
    synced.map_err(|source| Error::Write { path: directory.to_owned(), source })
}

/// Removes a file; one that is gone already is fine.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::Remove { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
