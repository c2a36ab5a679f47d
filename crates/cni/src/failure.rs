//! The error object that a runtime reads (specification, section 5, "Error").

use std::fmt::Display;

use serde::{Deserialize, Serialize};

/// Error codes: 1 to 99 belong to the specification.
pub mod code {
    /// The config's `cniVersion` is not supported.
    pub const INCOMPATIBLE_VERSION: u32 = 1;
    /// A field of the config is not supported; the message names key and value.
    pub const UNSUPPORTED_FIELD: u32 = 2;
    /// The container is unknown.
    pub const UNKNOWN_CONTAINER: u32 = 3;
    /// An environment variable is missing or invalid; the message names it.
    pub const INVALID_ENVIRONMENT: u32 = 4;
    /// Standard input or another stream failed.
    pub const IO_FAILURE: u32 = 5;
    /// Something could not be decoded.
    pub const DECODING_FAILURE: u32 = 6;
    /// The network config is invalid.
    pub const INVALID_CONFIG: u32 = 7;
    /// The namespace is the plugin's own (the reference skeleton's code, not in the specification).
    pub const INVALID_NETNS: u32 = 8;
    /// The plugin should be called again later.
    pub const TRY_AGAIN_LATER: u32 = 11;
    /// STATUS: the plugin cannot serve ADD.
    pub const NOT_AVAILABLE: u32 = 50;
    /// STATUS: the plugin cannot serve ADD, and containers of the network may be limited.
    pub const LIMITED_CONNECTIVITY: u32 = 51;
    /// Everything else.
    pub const INTERNAL: u32 = 999;
}

/// The result of a verb.
pub type Answer<T> = Result<T, Failure>;

/// The error object of a failed call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{msg}{}{details}", if details.is_empty() { "" } else { "; " })]
pub struct Failure {
    /// One of [`code`], or 100 and above for a plugin's own.
    pub code: u32,
    /// One sentence for the operator.
    #[serde(default)]
    pub msg: String,
    /// More details.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

/// The sentences that every plugin needs. A plugin has an error enum of its own, with a variant `#[from] Failure`, only
/// where its code branches on errors.
impl Failure {
    /// Returns a failure without details.
    pub fn new(code: u32, msg: impl Into<String>) -> Self {
        Self { code, msg: msg.into(), details: String::new() }
    }

    /// Adds details.
    pub fn with_details(self, details: impl Into<String>) -> Self {
        Self { details: details.into(), ..self }
    }

    /// Returns the error for an invalid key of the config, which is named with those around it
    /// (`ipam.ranges[0][1].subnet`).
    pub fn invalid_key(key: impl Display, problem: impl Display) -> Self {
        Self::new(code::INVALID_CONFIG, format!("{key}: {problem}"))
    }

    /// Returns the error for a value that is not `allowed`: `mtu: 10 is not between 68 and 65535`. A text is quoted
    /// (`{:?}`).
    pub fn invalid_value(key: impl Display, value: impl Display, allowed: impl Display) -> Self {
        Self::invalid_key(key, format_args!("{value} is not {allowed}"))
    }

    /// Returns the error for two keys that exclude each other, with the reason.
    pub fn exclusive_keys(key: &str, other: &str, reason: impl Display) -> Self {
        Self::invalid_key(format_args!("{key} and {other}"), format_args!("set only one; {reason}"))
    }

    /// Returns the error for an IPAM plugin's config without `ipam`, in the reference's words.
    pub fn no_ipam() -> Self {
        Self::new(code::INVALID_CONFIG, "IPAM config missing 'ipam' key")
    }

    /// Returns the error for a chained plugin's config without `prevResult`.
    pub fn not_chained() -> Self {
        let sentence = "must be called as chained plugin: the config has no prevResult of a plugin that made the interface";
        Self::new(code::INVALID_CONFIG, sentence)
    }

    /// Returns the error for a CHECK without `prevResult`.
    pub fn no_prev_result() -> Self {
        Self::invalid_key("prevResult", "missing; CHECK needs the result of ADD")
    }

    /// Returns the error for a difference that CHECK found. The sentence names the object, its state and the expected
    /// state.
    pub fn differs(sentence: impl Into<String>) -> Self {
        Self::new(code::INTERNAL, sentence)
    }

    /// Returns the error for a STATUS when ADD cannot be served. The sentence names what is missing.
    pub fn not_ready(sentence: impl Into<String>) -> Self {
        Self::new(code::NOT_AVAILABLE, sentence)
    }
}

/// Returns the outcome of a verb that continues after errors, as DEL and GC do. Several errors become one with all
/// their sentences and their common code.
///
/// # Errors
/// When there is any.
pub fn collected<E: Display + Into<Failure> + From<Failure>>(mut errors: Vec<E>) -> Result<(), E> {
    if errors.len() < 2 {
        return errors.pop().map_or(Ok(()), Err);
    }
    let sentences: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let codes: Vec<_> = errors.into_iter().map(|error| error.into().code).collect();
    let code = if codes.iter().all(|code| *code == codes[0]) { codes[0] } else { code::INTERNAL };
    Err(Failure::new(code, sentences.join("; ")).into())
}
