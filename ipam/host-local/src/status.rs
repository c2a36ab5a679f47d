//! STATUS: the config and the directory can be used.
//!
//! Runtimes ask every few seconds, so it writes nothing and waits for no lock.

use std::path::Path;

use cni::{Failure, Request, code};

use crate::config::Config;
use crate::error::{Result, exhausted, failed, in_set};
use crate::exclusions::Exclusions;
use crate::lock::{CANNOT_CREATE, Lock};
use crate::store::Store;

/// Accepts a config without ranges: a runtime that supplies them does not do so for STATUS.
pub(crate) fn status(request: &Request) -> Result<()> {
    Config::of(request)
        .and_then(|config| probe(&config))
        .map_err(|failure| Failure { code: code::NOT_AVAILABLE, ..failure })
}

fn probe(config: &Config) -> Result<()> {
    probe_directory(&config.directory)?;
    if !config.status_reports_exhaustion {
        return Ok(());
    }
    // Without a directory nothing is reserved; a process that has the lock now can use the directory.
    let Some(mut store) = Store::open_read_only(&config.directory, config.options)? else { return Ok(()) };
    let exclusions = Exclusions::new(config, &[]);
    for (number, set) in config.sets.iter().enumerate() {
        if !exclusions.leaves_any(&mut store, set)? {
            return Err(in_set(number, exhausted(set)));
        }
    }
    Ok(())
}

/// Checks that files can be created in the directory. ADD creates a missing one.
fn probe_directory(directory: &Path) -> Result<()> {
    linux::could_make_file(directory).map_err(|error| {
        failed(if directory.exists() { "cannot write" } else { CANNOT_CREATE }, directory)(error)
    })?;
    Lock::try_to_open(directory)
}
