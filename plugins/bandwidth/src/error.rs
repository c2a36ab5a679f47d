//! What can go wrong, and the code that a runtime gets for it.

use cni::{Failure, code};

/// Result of a verb.
pub type Result<T> = std::result::Result<T, Error>;

/// The error of a verb. Causes that the plugin's code does not tell apart are a [`Failure`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A limit that cannot be read or is not allowed.
    #[error(transparent)]
    Limit(#[from] limits::Error),
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] linux::Error),
    /// `CNI_NETNS` cannot be used.
    #[error("CNI_NETNS: {0}")]
    Namespace(linux::Error),
    /// The pod has no veth of the name in `CNI_IFNAME`; the sentence names both and what there is.
    #[error("{0}")]
    NoVeth(String),
    /// The names alone leave no room for a record of a limit; the sentence names the interface and the alias.
    #[error("{0}")]
    RecordTooLong(String),
    /// Any other error.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl Error {
    /// Tells an unusable `CNI_NETNS` from an error that is not the variable's, as when the process may not open one more
    /// file, or gets no socket.
    pub(crate) fn of_namespace(error: linux::Error) -> Self {
        if error.is_bad_namespace() { Self::Namespace(error) } else { Self::Kernel(error) }
    }

    /// Returns an error that the code does not tell from others. The sentence names the object.
    pub(crate) fn internal(sentence: impl Into<String>) -> Self {
        Failure::new(code::INTERNAL, sentence).into()
    }
}

impl From<Error> for Failure {
    /// The one place that gives this plugin's errors their codes.
    fn from(error: Error) -> Self {
        let code = match error {
            Error::Failure(failure) => return failure,
            Error::Namespace(_) => code::INVALID_ENVIRONMENT,
            Error::Limit(_) => code::INVALID_CONFIG,
            Error::Kernel(_) | Error::NoVeth(_) | Error::RecordTooLong(_) => code::INTERNAL,
        };
        Self::new(code, error.to_string())
    }
}
