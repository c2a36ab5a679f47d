//! Errors between a conflist and its plugins.

use std::io;
use std::path::PathBuf;

/// Why an attachment was not made, checked or removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{}: not valid JSON: {source}", path.display())]
    NotJson { path: PathBuf, source: serde_json::Error },
    #[error("{}: invalid network configuration: {problem}", path.display())]
    Conflist { path: PathBuf, problem: String },
    #[error("{option} {pair:?}: want KEY=VALUE")]
    Pair { option: &'static str, pair: String },
    #[error("--cap {key}: not valid JSON: {source}")]
    Capability { key: String, source: serde_json::Error },
    #[error("annotation {key}: {problem} (got {value:?})")]
    Annotation { key: String, value: String, problem: String },
    #[error("cannot find the path of this executable: {0}")]
    OwnPath(io::Error),
    #[error("cannot write the result as JSON: {0}")]
    Encode(serde_json::Error),
    #[error("cannot print: {0}")]
    Print(io::Error),
    #[error("cannot print the result, so the attachment was undone: {0}")]
    Undelivered(io::Error),
    #[error(transparent)]
    Protocol(#[from] cni::Error),
    #[error("plugin {plugin} failed ({verb}): {message}")]
    Plugin { plugin: String, verb: &'static str, message: String },
    #[error("container {container} is attached to network {network} by {interface} already; detach it first")]
    AlreadyAttached { network: String, container: String, interface: String },
    #[error("plugin {plugin} printed no result")]
    NoResult { plugin: String },
    #[error("container {container} is not attached to network {network} (by weir attach)")]
    NotAttached { network: String, container: String },
}

impl Error {
    pub(crate) fn pair(option: &'static str, pair: &str) -> Self {
        Self::Pair { option, pair: pair.to_owned() }
    }
}
