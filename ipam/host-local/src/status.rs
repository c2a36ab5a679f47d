//! STATUS: the config can be used, and so can the directory.

use cni::Request;

use crate::barred::Barred;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::store::Store;

/// A config without ranges is fine: a runtime that brings them along does not do so here.
pub(crate) fn status(request: &Request) -> Result<()> {
    Config::of(request).and_then(|config| look(&config)).map_err(|error| Error::NotAvailable(Box::new(error)))
}

/// Whoever has the lock at this moment can use the directory: that is answer enough, and nobody has to wait.
fn look(config: &Config) -> Result<()> {
    let Some(mut store) = Store::create_if_free(&config.directory, config.options)? else { return Ok(()) };
    store.try_to_write()?;
    if !config.status_reports_exhaustion {
        return Ok(());
    }
    let barred = Barred::new(config, &[]);
    for (number, set) in config.sets.iter().enumerate() {
        if !barred.leaves_any(&mut store, set)? {
            let source = Box::new(Error::Exhausted { ranges: set.to_string() });
            return Err(Error::Allocation { set: number, source });
        }
    }
    Ok(())
}
