//! GC: give back the addresses of attachments that are not valid.

use std::collections::HashSet;

use cni::Request;

use crate::config;
use crate::error::Result;
use crate::holder::Holder;
use crate::store::Store;

/// Needs no ranges: a runtime that brings them along does not do so here.
pub(crate) fn gc(request: &Request) -> Result<()> {
    let Some(valid) = request.valid_attachments()? else { return Ok(()) };
    let (directory, options) = config::place(request)?;
    let Some(mut store) = Store::open(&directory, options)? else { return Ok(()) };
    let attachments: HashSet<(&str, &str)> =
        valid.iter().map(|valid| (valid.container_id.as_str(), valid.interface.as_str())).collect();
    let containers: HashSet<&str> = valid.iter().map(|valid| valid.container_id.as_str()).collect();
    store.release_stale(|holder| match holder {
        Holder::Attachment { container_id, interface } => {
            !attachments.contains(&(container_id.as_str(), interface.as_str()))
        }
        Holder::Container { container_id } => !containers.contains(container_id.as_str()),
        Holder::Stranger => false,
        Holder::Nobody => true,
    })
}
