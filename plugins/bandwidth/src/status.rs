//! STATUS: whether the kernel can shape.

use crate::error::{Error, Result};

pub(crate) fn status() -> Result<()> {
    let missing = linux::missing_shaping_features().map_err(Error::Probe)?;
    if missing.is_empty() { Ok(()) } else { Err(Error::KernelLacks(missing)) }
}
