//! Errors of looking at the node and of changing it.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

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
    /// The target names no pod of this node.
    #[error(
        "no attached pod is {target:?}: want NAMESPACE/POD, a container ID or a host interface of a pod on this node"
    )]
    UnknownTarget {
        /// The target's text.
        target: String,
    },
    /// The target names several interfaces where only one can be meant.
    #[error("{target:?} could be several: {candidates}; name one of these host interfaces")]
    AmbiguousTarget {
        /// The target's text.
        target: String,
        /// The host's ends, separated by commas.
        candidates: String,
    },
    /// The target is an interface that has no pod behind it.
    #[error(
        "{interface} is a {kind} device; only veth pairs are supported, as bridge, ptp and Calico make them"
    )]
    NotVeth {
        /// The interface's name.
        interface: String,
        /// Its kind.
        kind: String,
    },
    /// A folder of cached results cannot be read.
    #[error("cannot read the results of attachments in {}: {source}", path.display())]
    CachedResults {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The lock on the limits of this node cannot be taken.
    #[error("cannot lock {}: {source}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A folder of configurations or reservations cannot be read.
    #[error("cannot read folder {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// No network of this node has the name.
    #[error("no network {name:?}: neither a configuration in {} nor a folder in {}", conf_dir.display(), data_dir.display())]
    UnknownNetwork {
        /// The name.
        name: String,
        /// The folder of the configurations.
        conf_dir: PathBuf,
        /// The folder of the reservations.
        data_dir: PathBuf,
    },
    /// The reservations of a network cannot be read or released.
    #[error("network {network}: {source}")]
    Reservations {
        /// The network's name.
        network: String,
        /// The error of `host-local`.
        source: Box<cni::Failure>,
    },
    /// There is nothing to release.
    #[error("network {network}: nothing is reserved for {wanted}")]
    NothingReserved {
        /// The network's name.
        network: String,
        /// The address or container.
        wanted: String,
    },
    /// An address that is to be released is in use.
    #[error("{address} is in use ({place}); detach the container instead, and its DEL releases the address")]
    InUse {
        /// The address.
        address: IpAddr,
        /// The interfaces that have it.
        place: String,
    },
    /// An address that is to be released may belong to an ADD that still runs.
    #[error("{address} was reserved just now; look again before you release it")]
    JustReserved {
        /// The address.
        address: IpAddr,
    },
}
