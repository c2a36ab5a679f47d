//! The lock on a network's reservations: flock(2) on a file beside them, as the reference takes it.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::error::{Result, cannot_lock, failed, lock_timeout};
use crate::file;
use crate::lock_holder;

const NAME: &str = "lock";
/// Precedes the path of the directory in an error.
pub(crate) const CANNOT_CREATE: &str = "ipam.dataDir: cannot create directory";
/// Precedes the path of the lock in an error.
const CANNOT_OPEN: &str = "ipam.dataDir: cannot open";

/// The lock, held as long as this exists. The kernel releases that of a killed process.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock of `directory` for at most `patience`; creates a missing directory.
    pub(crate) fn create(directory: &Path, patience: Duration) -> Result<Self> {
        Self::wait(create_file(directory)?, directory, patience)
    }

    /// Waits for the lock of `directory`, if the directory exists.
    pub(crate) fn open(directory: &Path, patience: Duration) -> Result<Option<Self>> {
        match open_file(directory) {
            Ok(file) => Self::wait(file, directory, patience).map(Some),
            Err(error) if cannot_exist(&error) => Ok(None),
            Err(error) => Err(failed(CANNOT_OPEN, &path_in(directory))(error)),
        }
    }

    /// Takes the lock of `directory`, if it exists and is free.
    pub(crate) fn open_if_free(directory: &Path) -> Result<Option<Self>> {
        match file::open(&path_in(directory)) {
            Ok(file) => match file.try_lock() {
                Ok(()) => Ok(Some(Self { _file: file })),
                Err(TryLockError::WouldBlock) => Ok(None),
                Err(TryLockError::Error(error)) => Err(cannot_lock(&path_in(directory), error)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(CANNOT_OPEN, &path_in(directory))(error)),
        }
    }

    /// Checks that the lock could be opened, if it exists.
    pub(crate) fn try_to_open(directory: &Path) -> Result<()> {
        match file::open(&path_in(directory)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed(CANNOT_OPEN, &path_in(directory))(error))
            }
            _ => Ok(()),
        }
    }

    fn wait(file: File, directory: &Path, patience: Duration) -> Result<Self> {
        let path = path_in(directory);
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => match lock_within(file, patience) {
                Ok(Some(file)) => Ok(Self { _file: file }),
                Ok(None) => Err(lock_timeout(&path, patience, &lock_holder::holders(&path))),
                Err(error) => Err(cannot_lock(&path, error)),
            },
            Err(TryLockError::Error(error)) => Err(cannot_lock(&path, error)),
        }
    }
}

/// Locks the file; returns `None` when `patience` is over.
///
/// flock(2) has no deadline, so a thread waits for it. When it gets the lock too late, no receiver takes the
/// file from it any more, and with the file the lock is gone.
fn lock_within(file: File, patience: Duration) -> io::Result<Option<File>> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::Builder::new().name("lock".to_owned()).spawn(move || {
        let outcome = loop {
            match file.lock() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => break outcome.map(|()| file),
            }
        };
        let _ = sender.send(outcome);
    })?;
    match receiver.recv_timeout(patience) {
        Ok(outcome) => outcome.map(Some),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(None),
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
                .map_err(failed(CANNOT_CREATE, directory))?;
            open_file(directory)
        }
        opened => opened,
    }
    .map_err(failed(CANNOT_OPEN, &path_in(directory)))
}

/// Whether the error says that there is no such directory, also because a network's name is longer than a file's can
/// be.
pub(crate) fn cannot_exist(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | InvalidFilename)
}

fn open_file(directory: &Path) -> io::Result<File> {
    file::open_or_create(&path_in(directory))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_directory_is_made_for_add_and_only_for_add() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("networks").join("net1");
        assert!(Lock::open(&directory, LONG).unwrap().is_none());
        assert!(!directory.exists());
        drop(Lock::create(&directory, LONG).unwrap());
        assert!(Lock::open(&directory, LONG).unwrap().is_some());
    }

    #[test]
    fn a_file_in_place_of_the_directory_has_no_reservations_and_takes_none() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(Lock::open(&file.join("net1"), LONG).unwrap().is_none());
        let error = Lock::create(&file.join("net1"), LONG).map(drop).unwrap_err().to_string();
        assert!(error.starts_with("ipam.dataDir: ") && error.contains("file/net1"), "{error}");
    }

    #[test]
    fn a_free_lock_is_taken_and_a_held_one_is_not_waited_for() {
        let parent = tempfile::tempdir().unwrap();
        assert!(Lock::open_if_free(parent.path()).unwrap().is_none());
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
        let lock = Lock::create(parent.path(), LONG).unwrap();
        assert!(Lock::open_if_free(parent.path()).unwrap().is_none());
        drop(lock);
        assert!(Lock::open_if_free(parent.path()).unwrap().is_some());
    }

    #[test]
    fn waiting_ends_when_the_lock_is_released() {
        let parent = tempfile::tempdir().unwrap();
        let lock = Lock::create(parent.path(), LONG).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| Lock::create(parent.path(), LONG).map(drop));
            thread::sleep(Duration::from_millis(30));
            drop(lock);
            waiting.join().unwrap().unwrap();
        });
    }

    #[test]
    fn waiting_ends_at_the_deadline_with_the_holders_name_and_leaves_nothing_locked() {
        let parent = tempfile::tempdir().unwrap();
        let lock = Lock::create(parent.path(), LONG).unwrap();
        let start = Instant::now();
        let patience = Duration::from_millis(50);
        let error = Lock::create(parent.path(), patience).map(drop).unwrap_err().to_string();
        assert!(start.elapsed() >= patience);
        let pid = std::process::id();
        assert!(error.contains(&format!("process {pid} (")), "{error}");
        drop(lock);
        // The thread that still waits gets it and lets it go.
        Lock::create(parent.path(), LONG).unwrap();
    }
}
