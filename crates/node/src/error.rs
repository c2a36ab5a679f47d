//! Errors of looking at the node and of changing it.

use std::fmt::Display;
use std::io;

/// Result of an operation on the node.
pub type Result<T> = std::result::Result<T, Error>;

/// An operation on the node that failed. Shown as a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused a request.
    #[error(transparent)]
    Kernel(#[from] linux::Error),
    /// A limit could not be read or changed.
    #[error(transparent)]
    Bandwidth(#[from] bandwidth::Error),
    /// The target names no attached pod of this node; it may have gone.
    #[error(
        "no attached pod is {0:?}: want NAMESPACE/POD, a container ID or a host interface of a pod on this node"
    )]
    UnknownTarget(String),
    /// Anything else. The sentence names the object, and what to do.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// Completes "cannot …" with what the system says.
    pub(crate) fn io(operation: impl Display) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Other(format!("cannot {operation}: {source}"))
    }
}
