//! STATUS: whether the kernel can shape, and whether the config's keys are ones that ADD takes.

use cni::Request;

use crate::config::Limits;
use crate::error::{Error, Result};

pub(crate) fn status(request: &Request) -> Result<()> {
    Limits::check_config(request)?;
    let missing = linux::missing_shaping_features().map_err(Error::Probe)?;
    if missing.is_empty() { Ok(()) } else { Err(Error::KernelLacks(missing)) }
}
