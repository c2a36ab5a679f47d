//! DEL: give the attachment's addresses back.

use cni::{AddResult, Request};

use crate::config;
use crate::error::Result;
use crate::store::{Owner, Store};

/// Nothing of the config matters but where the reservations are.
pub(crate) fn del(request: &Request) -> Result<()> {
    let owner = Owner { container_id: request.container_id(), interface: request.interface() };
    let (directory, options) = config::place_of_any(request);
    match Store::open(&directory, options)? {
        Some(mut store) => store.release_attachment(owner),
        None => Ok(()),
    }
}

/// Gives back the addresses of `result`, and no older ones that the attachment may have.
pub(crate) fn undo_add(request: &Request, result: &AddResult) -> Result<()> {
    let owner = Owner { container_id: request.container_id(), interface: request.interface() };
    let (directory, options) = config::place_of_any(request);
    let Some(mut store) = Store::open(&directory, options)? else { return Ok(()) };
    let held = store.addresses_of(owner)?;
    for address in result.ips.iter().map(|ip| ip.address.ip()).filter(|address| held.contains(address)) {
        store.release(address)?;
    }
    Ok(())
}
