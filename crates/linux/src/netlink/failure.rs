//! Why an exchange with the kernel failed.

use std::fmt;

use nix::errno::Errno;

use crate::error::Error;

/// Why the kernel refused: the error number and, where it gave one, its own sentence
/// (`NLMSGERR_ATTR_MSG`).
#[derive(Debug)]
pub struct Refusal {
    /// The error number.
    pub errno: Errno,
    /// The kernel's own sentence.
    pub message: Option<String>,
    /// Sequence number of the message that was refused.
    pub sequence: u32,
}

impl Refusal {
    /// Says what we wanted when the kernel refused.
    pub fn during(self, operation: fmt::Arguments<'_>) -> Error {
        Error::refused(operation.to_string(), self.errno, self.message)
    }
}

/// What went wrong in an exchange: the transport, or the kernel's answer.
#[derive(Debug)]
pub enum Failure {
    /// The transport failed.
    Io(std::io::Error),
    /// The kernel refused.
    Refused(Refusal),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl Failure {
    /// The error of what was to be done, as "verb object".
    pub fn during(self, operation: fmt::Arguments<'_>) -> Error {
        match self {
            Self::Io(source) => Error::Netlink { operation: operation.to_string(), source },
            Self::Refused(refusal) => refusal.during(operation),
        }
    }

    /// The kernel's error number, if it was the kernel that refused.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Io(_) => None,
            Self::Refused(refusal) => Some(refusal.errno),
        }
    }
}
