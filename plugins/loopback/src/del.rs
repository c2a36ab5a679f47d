//! DEL: nothing to do.

use cni::Request;

use crate::error::Result;

/// Leaves `lo` up. The namespace at `CNI_NETNS` may be another container's by now, and nothing in it tells; that of this
/// container goes with all that is in it. The reference takes `lo` down.
pub(crate) fn del(_: &Request) -> Result<()> {
    Ok(())
}
