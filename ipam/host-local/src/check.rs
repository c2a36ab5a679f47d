//! CHECK: the attachment has a reservation.

use cni::{Failure, Request};

use crate::config;
use crate::error::Result;
use crate::store::{Owner, Store};

/// Accepts any address, as the reference does: the config may have changed since ADD.
pub(crate) fn check(request: &Request) -> Result<()> {
    let owner = Owner::of(request);
    let (directory, options) = config::place(request)?;
    let addresses = match Store::open(&directory, options)? {
        Some(mut store) => store.addresses_of(owner)?,
        None => Vec::new(),
    };
    if addresses.is_empty() {
        let container_id = owner.container_id;
        return Err(Failure::differs(format!(
            "host-local: Failed to find address added by container {container_id}"
        )));
    }
    Ok(())
}
