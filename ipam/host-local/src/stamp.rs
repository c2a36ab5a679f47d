//! Identity and times of a directory and of files, to recognise changes.

use std::fs::{File, FileTimes, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Identity and times of a directory. Between two equal stamps no name was added or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// Nanoseconds since 1970.
    pub(crate) modified: i64,
    /// Nanoseconds since 1970.
    pub(crate) changed: i64,
}

impl Stamp {
    /// Returns the present stamp of `directory`.
    pub(crate) fn of(directory: &Path) -> io::Result<Self> {
        Ok(Self::from(&std::fs::metadata(directory)?))
    }

    /// Sets a time of modification that no later change can have, and returns the stamp with it.
    ///
    /// Before Linux 6.13 the clock of files ticks every 1 to 10 ms, so a change right after this one could leave the
    /// same time. A time that is a nanosecond earlier is in the past.
    ///
    /// # Errors
    /// The system's; `Unsupported` where the file system does not keep the time.
    pub(crate) fn settle(directory: &Path) -> io::Result<Self> {
        let file = File::open(directory)?;
        let natural = Self::from(&file.metadata()?);
        let past = u64::try_from(natural.modified - 1).map_err(|_| io::ErrorKind::Unsupported)?;
        let past = SystemTime::UNIX_EPOCH + Duration::from_nanos(past);
        file.set_times(FileTimes::new().set_modified(past))?;
        let settled = Self::from(&file.metadata()?);
        if settled.modified < natural.modified { Ok(settled) } else { Err(io::ErrorKind::Unsupported.into()) }
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: changed(metadata),
        }
    }
}

/// Returns when the file's content, names or attributes changed last (`st_ctim`), in nanoseconds since 1970. No system
/// call sets this time.
pub(crate) fn changed(metadata: &Metadata) -> i64 {
    nanoseconds(metadata.ctime(), metadata.ctime_nsec())
}

/// Distinguishes a file from a later one of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    inode: u64,
    changed: i64,
}

impl FileIdentity {
    /// Returns the identity of the file at `path`.
    ///
    /// # Errors
    /// The system's; `NotFound` when there is none.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        Ok(Self::from(&path.symlink_metadata()?))
    }
}

impl From<&Metadata> for FileIdentity {
    fn from(metadata: &Metadata) -> Self {
        Self { inode: metadata.ino(), changed: changed(metadata) }
    }
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_change_after_settling_shows_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("10.0.0.2");
        for _ in 0..200 {
            fs::write(&file, "").unwrap();
            let settled = Stamp::settle(directory.path()).unwrap();
            assert_eq!(Stamp::of(directory.path()).unwrap(), settled);
            fs::remove_file(&file).unwrap();
            assert_ne!(Stamp::of(directory.path()).unwrap(), settled);
            let settled = Stamp::settle(directory.path()).unwrap();
            fs::write(&file, "").unwrap();
            assert_ne!(Stamp::of(directory.path()).unwrap(), settled);
        }
    }

    #[test]
    fn a_time_that_was_put_back_shows() {
        let directory = tempfile::tempdir().unwrap();
        let settled = Stamp::settle(directory.path()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        fs::write(directory.path().join("10.0.0.2"), "").unwrap();
        let past = SystemTime::UNIX_EPOCH + Duration::from_nanos(settled.modified.try_into().unwrap());
        File::open(directory.path()).unwrap().set_times(FileTimes::new().set_modified(past)).unwrap();
        let now = Stamp::of(directory.path()).unwrap();
        assert_eq!(now.modified, settled.modified);
        assert_ne!(now, settled);
    }
}
