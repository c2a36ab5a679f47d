//! Why another plugin gave no answer.

use crate::failure::Failure;

/// The error of a call to another plugin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plugin failed with this error object.
    #[error(transparent)]
    Plugin(Failure),
    /// The plugin could not be called, or its output is not an answer.
    #[error(transparent)]
    Call(#[from] Failure),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (Error::Plugin(failure) | Error::Call(failure)) = error;
        failure
    }
}
