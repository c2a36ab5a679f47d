//! What can go wrong in finding attachments.

use std::io;
use std::path::PathBuf;

/// Why attachments were not found, or not all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Kernel(#[from] linux::Error),
    #[error(transparent)]
    Bandwidth(#[from] bandwidth::Error),
    #[error(
        "no attached pod is {target:?}: it is no NAMESPACE/POD, container ID or host interface of this node that belongs to a pod"
    )]
    Unknown { target: String },
    #[error("{target:?} could be several: {candidates}; name one of these interfaces of the host")]
    Ambiguous { target: String, candidates: String },
    #[error("{interface} is a {kind} device; supported are veth pairs, as bridge, ptp and Calico make them")]
    NotVeth { interface: String, kind: String },
    #[error("cannot read the results of attachments in {}: {source}", path.display())]
    Results { path: PathBuf, source: io::Error },
}
