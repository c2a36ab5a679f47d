//! Errors, as sentences for the operator. Those about a key are where the key is read.

use std::fmt::Display;

use cni::{Failure, Request, code};

/// Result of an operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a pod was not attached, checked or detached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] linux::Error),
    /// Everything else, with the code that a runtime gets for it.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<cni::Error> for Error {
    fn from(error: cni::Error) -> Self {
        Self::Failure(error.into())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Kernel(error) => Self::new(code::INTERNAL, error.to_string()),
            Error::Failure(failure) => failure,
        }
    }
}

/// Returns the error for a failure with the namespace of `CNI_NETNS`. The variable is not to blame when this process
/// may not open one more file, or gets no socket.
pub fn of_namespace(error: linux::Error) -> Error {
    match error.is_bad_namespace() {
        true => Failure::new(code::INVALID_ENVIRONMENT, format!("CNI_NETNS: {error}")).into(),
        false => error.into(),
    }
}

/// CHECK found a difference. The sentence names the object, and what it is now.
///
/// # Errors
/// Always.
pub fn differs<T>(sentence: impl Display) -> Result<T> {
    Err(Failure::differs(sentence.to_string()).into())
}

/// The pod has an interface of this name.
pub(crate) fn interface_taken(request: &Request) -> Error {
    let (container, interface) = (request.container_id(), request.interface());
    let sentence = format!(
        "CNI_IFNAME: container {container} already has an interface {interface:?} in {}; call DEL first",
        request.netns().unwrap_or_default()
    );
    Failure::new(code::INVALID_ENVIRONMENT, sentence).into()
}

/// The host has the attachment's end.
pub(crate) fn already_attached(request: &Request, host_end: &str) -> Error {
    let (container, interface) = (request.container_id(), request.interface());
    internal(format_args!(
        "{host_end} on the host already belongs to container {container}, interface {interface:?}; call DEL first"
    ))
}

/// Returns an error that is neither the kernel's nor the config's.
pub(crate) fn internal(sentence: impl Display) -> Error {
    Failure::new(code::INTERNAL, sentence.to_string()).into()
}
