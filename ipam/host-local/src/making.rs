//! Reservations of ADDs that have not ended: GC runs at the same moment, with a list that cannot name them yet.
//!
//! ADD keeps each file that it made open, with a shared lock of flock(2) on it, until its process ends; where
//! `bridge` calls this plugin inside its own process, until `bridge` ends. A process that is killed loses its locks.
//! The reference opens, reads and removes reservations, and locks none of them: nothing changes for it, and DEL does
//! not ask either.

use std::cell::RefCell;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use linux::{SymbolicLinks, open_regular};

thread_local! {
    /// Never closed but by the end of the thread, which is the process's: to outlive the call is what they are for.
    static MADE: RefCell<Vec<File>> = const { RefCell::new(Vec::new()) };
}

/// Marks a new file as one that is being made. A file system without locks leaves it unmarked.
pub(crate) fn mark(file: File) {
    if file.try_lock_shared().is_ok() {
        MADE.with_borrow_mut(|made| made.push(file));
    }
}

/// Whether the ADD that made the file at `path` has not ended.
pub(crate) fn is_at_work(path: &Path) -> bool {
    let opened = open_regular(path, OpenOptions::new().read(true), SymbolicLinks::Refuse);
    opened.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_at_work_until_its_maker_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("10.0.0.2");
        std::thread::scope(|scope| {
            let make = || {
                mark(crate::file::create(&path).unwrap());
                assert!(is_at_work(&path));
            };
            // Not before it is joined has the thread let go of what it kept.
            scope.spawn(make).join().unwrap();
        });
        assert!(!is_at_work(&path));
        assert!(!is_at_work(&directory.path().join("10.0.0.3")));
    }
}
