//! Errors of the operator's commands.

use std::io;
use std::path::PathBuf;

use crate::{install, runtime};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Node(#[from] node::Error),
    #[error(transparent)]
    Install(#[from] install::Error),
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
    #[error(transparent)]
    Kernel(#[from] linux::Error),
    /// Options that do not fit together.
    #[error("{0}")]
    Usage(String),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot print JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("cannot print: {0}")]
    Print(io::Error),
}
