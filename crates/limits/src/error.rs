//! Limits that cannot be read, and those that a namespace does not allow.

/// Result of reading a limit.
pub type Result<T> = std::result::Result<T, Error>;

/// A limit that cannot be read or is not allowed. The text names the annotation or key, the value and the allowed values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The value of a key or of an annotation cannot be used.
    #[error("{key}: {value} is not {allowed}")]
    InvalidValue {
        /// The key, with those that it stands in, or `annotation` and the annotation's.
        key: String,
        /// Its value, as it stands in JSON.
        value: String,
        /// What it may be.
        allowed: String,
    },
    /// Keys set a rate without a burst, or a burst without a rate.
    #[error("{key} is {value} but {other} is not set; set both, or neither for no limit")]
    Incomplete {
        /// The key that is set.
        key: String,
        /// Its value.
        value: u64,
        /// The key that is 0 or absent.
        other: String,
    },
    /// An annotation sets a burst, and nothing sets a rate.
    #[error(
        "annotation {annotation} sets a burst, but there is no rate; set annotation kubernetes.io/{direction}-bandwidth too"
    )]
    BurstWithoutRate {
        /// The annotation's key.
        annotation: String,
        /// The direction that it is about.
        direction: crate::Direction,
    },
    /// A pod asks for less or more than its namespace's limit range allows.
    #[error("{asked_by} asks for {rate_bits_per_sec} bits per second; {range} allows {allowed}")]
    OutOfRange {
        /// The annotation with its value, or the runtime's key.
        asked_by: String,
        /// What it asks for.
        rate_bits_per_sec: u64,
        /// The key of the range.
        range: String,
        /// The rates that it allows, in bits per second.
        allowed: String,
    },
}

impl Error {
    /// Returns the error of a `value` that is not one that is `allowed`.
    pub(crate) fn invalid(key: impl Into<String>, value: String, allowed: impl Into<String>) -> Self {
        Self::InvalidValue { key: key.into(), value, allowed: allowed.into() }
    }
}
