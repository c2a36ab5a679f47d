//! STATUS: whether the kernel can shape, and whether ADD accepts the config's keys.

use cni::{Failure, Request};

use crate::config::Limits;
use crate::error::Result;

pub(crate) fn status(request: &Request) -> Result<()> {
    Limits::check_config(request)?;
    let missing = linux::missing_shaping_features().map_err(|error| {
        Failure::not_ready(format!("cannot tell whether this kernel can shape pods: {error}"))
    })?;
    if missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
    Err(Failure::not_ready(format!("this kernel cannot shape pods: it has no {}", missing.join(", no ")))
        .into())
}
