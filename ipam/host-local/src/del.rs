//! DEL: releases the attachment's addresses.

use cni::{AddResult, Request};

use crate::config;
use crate::error::Result;
use crate::store::{Owner, Store};

/// Needs no key of the config but the directory's.
pub(crate) fn del(request: &Request) -> Result<()> {
    let owner = Owner::of(request);
    let (directory, options) = config::place_of_any(request);
    match Store::open(&directory, options)? {
        Some(mut store) => store.release_attachment(owner),
        None => Ok(()),
    }
}

/// Releases the addresses of `result`, and no older ones of the attachment.
pub(crate) fn undo_add(request: &Request, result: &AddResult) -> Result<()> {
    let owner = Owner::of(request);
    let (directory, options) = config::place_of_any(request);
    let Some(mut store) = Store::open(&directory, options)? else { return Ok(()) };
    let held = store.addresses_of(owner)?;
    for address in result.ips.iter().map(|ip| ip.address.ip()).filter(|address| held.contains(address)) {
        store.release(address)?;
    }
    Ok(())
}
