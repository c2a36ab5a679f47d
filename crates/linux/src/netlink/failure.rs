//! Why an exchange with the kernel failed.

use std::fmt;

use nix::errno::Errno;

use crate::error::Error;

/// A refusal: the error number and, where the kernel gave one, its sentence (`NLMSGERR_ATTR_MSG`).
#[derive(Debug)]
pub struct Refusal {
    /// The error number.
    pub errno: Errno,
    /// The kernel's sentence.
    pub message: Option<String>,
    /// Sequence number of the refused message.
    pub sequence: u32,
}

impl Refusal {
    /// Returns the error for `operation`, which completes "cannot …".
    pub fn during(self, operation: fmt::Arguments<'_>) -> Error {
        Error::Refused { operation: operation.to_string(), errno: self.errno, message: self.message }
    }
}

/// A failed exchange.
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
    /// Returns the error for `operation`, which completes "cannot …".
    pub fn during(self, operation: fmt::Arguments<'_>) -> Error {
        match self {
            Self::Io(source) => Error::Netlink { operation: operation.to_string(), source },
            Self::Refused(refusal) => refusal.during(operation),
        }
    }

    /// Returns the kernel's error number if the kernel refused.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Io(_) => None,
            Self::Refused(refusal) => Some(refusal.errno),
        }
    }
}
