//! Errors of kernel operations.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::feature::Feature;

/// Result of a kernel operation.
pub type Result<T> = std::result::Result<T, Error>;

/// A kernel operation that failed: which one, on which object, why.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The netlink transport itself failed.
    #[error("cannot {operation}: {source}")]
    Netlink {
        /// The operation, as "verb object".
        operation: String,
        /// The system's error.
        source: io::Error,
    },
    /// The kernel refused a request.
    #[error("cannot {operation}: {}{}", errno.desc(), message.as_ref().map(|text| format!(" (kernel: {text})")).unwrap_or_default())]
    Refused {
        /// The operation, as "verb object".
        operation: String,
        /// The kernel's error number.
        errno: Errno,
        /// The kernel's own sentence, where it gave one.
        message: Option<String>,
    },
    /// The running kernel lacks a feature.
    #[error("cannot {operation}: this kernel has no {feature}")]
    MissingFeature {
        /// The operation, as "verb object".
        operation: String,
        /// The feature, with its config option and module.
        feature: Feature,
    },
    /// A network namespace cannot be opened.
    #[error("cannot open network namespace {}: {source}", path.display())]
    OpenNamespace {
        /// The path that was given.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A path exists but is not a network namespace.
    #[error("{} is not a network namespace", path.display())]
    NotANamespace {
        /// The path that was given.
        path: PathBuf,
    },
    /// A namespace cannot be entered or left.
    #[error("cannot enter network namespace {}: {source}", path.display())]
    EnterNamespace {
        /// The namespace's path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A kernel parameter cannot be read or set.
    #[error("cannot {verb} kernel parameter {key}: {source}")]
    Sysctl {
        /// "read" or "set".
        verb: &'static str,
        /// The parameter as `sysctl` names it.
        key: String,
        /// The system's error.
        source: io::Error,
    },
    /// A failure that no caller distinguishes from others, as a whole sentence.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// Returns the error for an answer of the kernel that lacks `lacks`.
    pub(crate) fn incomplete(operation: &str, lacks: &str) -> Self {
        Self::Other(format!("cannot {operation}: the kernel's answer lacks {lacks}"))
    }

    /// Returns the kernel's error number if the kernel refused.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// Returns whether a name is in use already (`EEXIST`).
    pub fn is_taken(&self) -> bool {
        self.errno() == Some(Errno::EEXIST)
    }

    /// Returns whether the process lacks a privilege (`EACCES`, `EPERM`).
    pub fn is_denied(&self) -> bool {
        matches!(self.errno(), Some(Errno::EACCES | Errno::EPERM))
    }

    /// Returns whether the kernel never takes the value, or not any more (`EINVAL`, `ERANGE`, `EADDRNOTAVAIL`,
    /// `EOPNOTSUPP`; `EBUSY`, as for a switch that stays on).
    pub fn is_value_refused(&self) -> bool {
        let of_parameter = match self {
            Self::Sysctl { source, .. } => source.raw_os_error().map(Errno::from_raw),
            _ => None,
        };
        matches!(
            self.errno().or(of_parameter),
            Some(Errno::EINVAL | Errno::ERANGE | Errno::EADDRNOTAVAIL | Errno::EOPNOTSUPP | Errno::EBUSY)
        )
    }

    /// Returns whether a next hop is unreachable (`ENETUNREACH`, `EHOSTUNREACH`).
    pub fn is_unreachable(&self) -> bool {
        matches!(self.errno(), Some(Errno::ENETUNREACH | Errno::EHOSTUNREACH))
    }

    /// Returns whether the namespace's path is to blame: not a limit or a privilege of this process, and not the
    /// kernel.
    pub fn is_bad_namespace(&self) -> bool {
        match self {
            Self::NotANamespace { .. } => true,
            Self::OpenNamespace { source, .. } | Self::EnterNamespace { source, .. } => {
                let errno = source.raw_os_error().map(Errno::from_raw);
                !matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::EPERM))
            }
            _ => false,
        }
    }

    /// Returns whether the bridge has no free port (`EXFULL`).
    pub fn is_full(&self) -> bool {
        self.errno() == Some(Errno::EXFULL)
    }

    /// Turns a refusal with one of `errnos` into [`Error::MissingFeature`]; every other error stays.
    ///
    /// The numbers that mean "not there" depend on the request: `RTM_NEWLINK` of an unknown kind answers
    /// `EOPNOTSUPP`, `RTM_NEWQDISC` of one answers `ENOENT`.
    pub fn or_missing(self, feature: Feature, errnos: &[Errno]) -> Self {
        match self {
            Self::Refused { operation, errno, .. } if errnos.contains(&errno) => {
                Self::MissingFeature { operation, feature }
            }
            other => other,
        }
    }
}
