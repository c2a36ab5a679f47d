//! Reservations of ADDs that have not ended. A concurrent GC gets a list that cannot name them yet.
//!
//! ADD keeps each reservation that it created open, with a shared flock(2) lock, until its process ends; where `bridge`
//! calls this plugin in its own process, until `bridge` ends. The kernel releases the locks of a killed process. The
//! reference opens, reads and removes reservations without locks, so nothing changes for it, and DEL does not ask
//! either.

use std::cell::RefCell;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use linux::{SymbolicLinks, open_regular};

thread_local! {
    /// Closed only when the thread ends, which is when the process ends: they must outlive the call.
    static MADE: RefCell<Vec<File>> = const { RefCell::new(Vec::new()) };
}

/// Marks the reservation in a new file as in progress. A file system without locks leaves it unmarked.
pub(crate) fn mark(file: File) {
    if file.try_lock_shared().is_ok() {
        MADE.with_borrow_mut(|made| made.push(file));
    }
}

/// Returns whether the ADD that created the file at `path` has not ended.
pub(crate) fn is_in_progress(path: &Path) -> bool {
    let opened = open_regular(path, OpenOptions::new().read(true), SymbolicLinks::Refuse);
    opened.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_is_in_progress_until_its_maker_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("10.0.0.2");
        std::thread::scope(|scope| {
            let make = || {
                mark(crate::file::create(&path).unwrap());
                assert!(is_in_progress(&path));
            };
            // Not before it is joined has the thread let go of what it kept.
            scope.spawn(make).join().unwrap();
        });
        assert!(!is_in_progress(&path));
        assert!(!is_in_progress(&directory.path().join("10.0.0.3")));
    }
}
