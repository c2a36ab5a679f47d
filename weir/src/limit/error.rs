//! What can go wrong with limits of running pods.

use std::io;
use std::path::PathBuf;

/// Why a limit was not shown or set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Kernel(#[from] linux::Error),
    #[error(transparent)]
    Bandwidth(#[from] bandwidth::Error),
    #[error("say whose limit to change: NAMESPACE/POD, a container ID or an interface of the host")]
    NoTarget,
    #[error(
        "no attached pod is {target:?}: it is no NAMESPACE/POD, container ID or host interface of this node that belongs to a pod"
    )]
    Unknown { target: String },
    #[error("{target:?} could be several: {candidates}; name one of these interfaces of the host")]
    Ambiguous { target: String, candidates: String },
    #[error("{interface} is a {kind} device; supported are veth pairs, as bridge, ptp and Calico make them")]
    NotVeth { interface: String, kind: String },
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
