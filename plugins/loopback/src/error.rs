//! What can go wrong, and the code that a runtime gets for it.

use cni::{Failure, code};

/// Result of a verb.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The call or its config is wrong.
    #[error(transparent)]
    Protocol(#[from] cni::Error),
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] linux::Error),
    /// `CNI_NETNS` cannot be used.
    #[error("CNI_NETNS: {0}")]
    Namespace(linux::Error),
    /// The namespace has no loopback interface.
    #[error("network namespace {netns} has no interface lo")]
    NoLoopback {
        /// `CNI_NETNS`.
        netns: String,
    },
    /// CHECK: the interface is down.
    #[error("interface lo in {netns} is down; ADD had brought it up")]
    Down {
        /// `CNI_NETNS`.
        netns: String,
    },
}

impl Error {
    /// The error for a failure with the namespace of `CNI_NETNS`. The variable is not to blame when this process may
    /// not open one more file, or gets no socket.
    pub(crate) fn of_namespace(error: linux::Error) -> Self {
        if error.is_bad_namespace() { Self::Namespace(error) } else { Self::Kernel(error) }
    }
}

impl From<Error> for Failure {
    /// The one place that gives this plugin's errors their codes.
    fn from(error: Error) -> Self {
        match error {
            Error::Protocol(error) => error.into(),
            Error::Namespace(_) => Self::new(code::INVALID_ENVIRONMENT, error.to_string()),
            Error::Kernel(_) | Error::NoLoopback { .. } | Error::Down { .. } => {
                Self::new(code::INTERNAL, error.to_string())
            }
        }
    }
}
