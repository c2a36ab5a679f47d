//! What can go wrong with a list.

use std::io;

use crate::attached;

/// Why nothing was listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Kernel(#[from] linux::Error),
    #[error(transparent)]
    Attached(#[from] attached::Error),
    #[error("cannot print JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("cannot print: {0}")]
    Print(io::Error),
}
