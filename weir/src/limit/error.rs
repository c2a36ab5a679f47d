//! What can go wrong with limits of running pods.

use std::io;
use std::path::PathBuf;

use crate::attached;

/// Why a limit was not shown or set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Kernel(#[from] linux::Error),
    #[error(transparent)]
    Attached(#[from] attached::Error),
    #[error(transparent)]
    Bandwidth(#[from] bandwidth::Error),
    #[error("say whose limit to change: NAMESPACE/POD, a container ID or an interface of the host")]
    NoTarget,
    #[error("two pods are named, {first:?} and {second:?}; name one, and the seconds as --watch=SECONDS")]
    TwoTargets { first: String, second: String },
    #[error("--json and --prometheus - both go to standard output; choose one")]
    TwoFormats,
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{option}: none has no burst; leave {option}-burst out")]
    BurstOfNone { option: &'static str },
    #[error("cannot print: {0}")]
    Print(io::Error),
    #[error("cannot lock {}: {source}", path.display())]
    Lock { path: PathBuf, source: io::Error },
    #[error("cannot print JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("cannot watch: {0}")]
    Watch(io::Error),
}
