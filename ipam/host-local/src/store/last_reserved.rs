//! The last address that was allocated from each range set.

use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;

use super::Store;
use crate::error::{Result, failed};
use crate::file;

const PREFIX: &str = "last_reserved_ip.";
/// More than an address needs.
const LONGEST: usize = 1024;

impl Store {
    /// Returns the last address that was allocated from range set `set`. An unreadable file only costs the round robin
    /// its position.
    pub(crate) fn last_reserved(&self, set: usize) -> Option<IpAddr> {
        let text = file::read(&self.last_reserved_path(set), LONGEST).ok()?;
        std::str::from_utf8(&text).ok()?.trim().parse().ok()
    }

    /// Records the last address that was allocated from range set `set`.
    pub(crate) fn set_last_reserved(&mut self, set: usize, address: IpAddr) -> Result<()> {
        self.touch()?;
        let path = self.last_reserved_path(set);
        let text = address.to_string();
        // Not truncated first: a kill would leave it empty, and ext4 would write it to the disk on close, which costs
        // more than the rest of an ADD.
        file::open_or_create(&path)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                let length = text.len() as u64;
                if file.metadata()?.len() == length { Ok(()) } else { file.set_len(length) }
            })
            .map_err(failed("cannot write", &path))
    }

    fn last_reserved_path(&self, set: usize) -> PathBuf {
        self.directory.join(format!("{PREFIX}{set}"))
    }
}
