//! STATUS: the config can be used, and so can the directory.
//!
//! Runtimes ask every few seconds. Nothing is written for the answer, and no lock is waited for.

use std::io::ErrorKind;
use std::path::Path;

use cni::{Failure, Request, code};

use crate::barred::Barred;
use crate::config::Config;
use crate::error::{Result, exhausted, failed, in_set};
use crate::lock::{CANNOT_CREATE, Lock};
use crate::store::Store;

/// A config without ranges is fine: a runtime that brings them along does not do so here.
pub(crate) fn status(request: &Request) -> Result<()> {
    Config::of(request)
        .and_then(|config| look(&config))
        .map_err(|failure| Failure { code: code::NOT_AVAILABLE, ..failure })
}

fn look(config: &Config) -> Result<()> {
    could_be_written(&config.directory)?;
    if !config.status_reports_exhaustion {
        return Ok(());
    }
    // Without a directory nothing is held; a process that has the lock at this moment can use the directory.
    let Some(mut store) = Store::to_look_at(&config.directory, config.options)? else { return Ok(()) };
    let barred = Barred::new(config, &[]);
    for (number, set) in config.sets.iter().enumerate() {
        if !barred.leaves_any(&mut store, set)? {
            return Err(in_set(number, exhausted(set)));
        }
    }
    Ok(())
}

/// A directory that is not there yet will be made in the first one above that is.
fn could_be_written(directory: &Path) -> Result<()> {
    for place in directory.ancestors() {
        match linux::could_make_file(place) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Ok(()) => return Lock::try_to_open(directory),
            Err(error) if place == directory => return Err(failed("cannot write", directory)(error)),
            Err(error) => return Err(failed(CANNOT_CREATE, directory)(error)),
        }
    }
    Ok(())
}
