//! Errors of the operator's commands.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Node(#[from] node::Error),
    #[error(transparent)]
    Protocol(#[from] cni::Failure),
    #[error(transparent)]
    Kernel(#[from] linux::Error),
    #[error("cannot {verb} {}: {source}", path.display())]
    File { verb: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot print JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("cannot print: {0}")]
    Print(io::Error),
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// Names the file with which `verb` failed.
    pub fn file(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { verb, path: path.to_owned(), source }
    }

    /// Names the place where JSON was expected.
    pub fn not_json(place: impl Display) -> impl FnOnce(serde_json::Error) -> Self {
        move |error| Self::Other(format!("{place}: not valid JSON: {error}"))
    }

    /// Rejects the `pair` of `option`.
    pub fn pair(option: &str, pair: &str) -> Self {
        Self::Other(format!("{option} {pair:?}: want KEY=VALUE"))
    }
}
