//! The lock on a network's reservations: flock(2) on a file beside them, as the reference takes it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

const NAME: &str = "lock";

/// The lock, as long as this exists. The kernel takes it from a process that is killed.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock of `directory`; makes the directory where it is missing.
    pub(crate) fn create(directory: &Path) -> Result<Self> {
        Self::wait(create_file(directory)?, directory)
    }

    /// Waits for the lock of `directory`, if that exists.
    pub(crate) fn open(directory: &Path) -> Result<Option<Self>> {
        match open_file(directory) {
            Ok(file) => Self::wait(file, directory).map(Some),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(source) => Err(Error::OpenLock { path: path_in(directory), source }),
        }
    }

    /// Tells whether the lock of `directory` works, without waiting for whoever has it now.
    pub(crate) fn probe(directory: &Path) -> Result<()> {
        match create_file(directory)?.try_lock() {
            Ok(()) | Err(TryLockError::WouldBlock) => Ok(()),
            Err(TryLockError::Error(source)) => Err(Error::Lock { path: path_in(directory), source }),
        }
    }

    fn wait(file: File, directory: &Path) -> Result<Self> {
        loop {
            match file.lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::Lock { path: path_in(directory), source }),
            }
        }
    }
}

fn path_in(directory: &Path) -> PathBuf {
    directory.join(NAME)
}

fn create_file(directory: &Path) -> Result<File> {
    match open_file(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(directory)
                .map_err(|source| Error::CreateDirectory { path: directory.to_owned(), source })?;
            open_file(directory)
        }
        opened => opened,
    }
    .map_err(|source| Error::OpenLock { path: path_in(directory), source })
}

fn open_file(directory: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path_in(directory))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_directory_is_made_for_add_and_only_for_add() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("networks").join("net1");
        assert!(Lock::open(&directory).unwrap().is_none());
        assert!(!directory.exists());
        drop(Lock::create(&directory).unwrap());
        assert!(Lock::open(&directory).unwrap().is_some());
    }

    #[test]
    fn a_file_in_the_directorys_place_holds_nothing_and_can_hold_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(Lock::open(&file.join("net1")).unwrap().is_none());
        for outcome in [Lock::probe(&file.join("net1")), Lock::create(&file.join("net1")).map(drop)] {
            let error = outcome.unwrap_err().to_string();
            assert!(error.starts_with("ipam.dataDir: ") && error.contains("file/net1"), "{error}");
        }
    }

    #[test]
    fn probing_does_not_wait() {
        let parent = tempfile::tempdir().unwrap();
        let lock = Lock::create(parent.path()).unwrap();
        Lock::probe(parent.path()).unwrap();
        drop(lock);
        Lock::probe(parent.path()).unwrap();
    }
}
