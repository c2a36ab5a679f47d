//! STATUS: the config can be used, and so can the directory.

use cni::Request;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::lock::Lock;

/// A config without ranges is fine: a runtime that brings them along does not do so here.
pub(crate) fn status(request: &Request) -> Result<()> {
    Config::of(request)
        .and_then(|config| Lock::probe(&config.directory))
        .map_err(|error| Error::NotAvailable(Box::new(error)))
}
