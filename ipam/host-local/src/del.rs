//! DEL: give the attachment's addresses back.

use cni::Request;

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
