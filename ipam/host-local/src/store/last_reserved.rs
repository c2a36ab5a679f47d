//! The address that each range set handed out last.

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
    /// The address that range set `set` handed out last. What cannot be read only costs the round robin
    /// its place.
    pub fn last_reserved(&self, set: usize) -> Option<IpAddr> {
        let text = file::read(&self.last_reserved_path(set), LONGEST).ok()?;
        std::str::from_utf8(&text).ok()?.trim().parse().ok()
    }

    /// Notes the address that range set `set` handed out last.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_last_reserved(&mut self, set: usize, address: IpAddr) -> Result<()> {
        self.touch()?;
        let path = self.last_reserved_path(set);
        let text = address.to_string();
        // Not truncated first: that would leave it empty when we are killed, and have ext4 write it to the
        // disk when it is closed, which costs more than the rest of an ADD.
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
