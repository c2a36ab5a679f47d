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

/// What a verb returns.
pub type Answer<T> = Result<T, Failure>;

/// What a runtime is told when a call fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{msg}{}{details}", if details.is_empty() { "" } else { "; " })]
pub struct Failure {
    /// One of [`code`], or 100 and above for a plugin's own.
    pub code: u32,
    /// One sentence for a person.
    #[serde(default)]
    pub msg: String,
    /// More of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

/// The sentences that every plugin needs. A plugin whose own code asks what went wrong has an error enum beside them,
/// with a variant `#[from] Failure`; one that only reports needs none.
impl Failure {
    /// Returns a failure without details.
    pub fn new(code: u32, msg: impl Into<String>) -> Self {
        Self { code, msg: msg.into(), details: String::new() }
    }

    /// The config's `key`, with those that it stands in (`ipam.ranges[0][1].subnet`), cannot be used.
    pub fn invalid_key(key: impl Display, problem: impl Display) -> Self {
        Self::new(code::INVALID_CONFIG, format!("{key}: {problem}"))
    }

    /// The value of `key` is not one that is `allowed`: `mtu: 10 is not between 68 and 65535`. A text comes in quotes
    /// (`{:?}`).
    pub fn invalid_value(key: impl Display, value: impl Display, allowed: impl Display) -> Self {
        Self::invalid_key(key, format_args!("{value} is not {allowed}"))
    }

    /// Two keys are set that exclude each other, for this `reason`.
    pub fn exclusive_keys(key: &str, other: &str, reason: impl Display) -> Self {
        Self::invalid_key(format_args!("{key} and {other}"), format_args!("set only one; {reason}"))
    }

    /// The config of an IPAM plugin has no `ipam`, in the reference's words.
    pub fn no_ipam() -> Self {
        Self::new(code::INVALID_CONFIG, "IPAM config missing 'ipam' key")
    }

    /// The config has no `prevResult`: no main plugin comes before a chained one.
    pub fn not_chained() -> Self {
        let sentence = "must be called as chained plugin: the config has no prevResult of a plugin that made the interface";
        Self::new(code::INVALID_CONFIG, sentence)
    }

    /// The config has no `prevResult`, which CHECK compares with.
    pub fn no_prev_result() -> Self {
        Self::invalid_key("prevResult", "missing; CHECK needs the result of ADD")
    }

    /// CHECK found a difference. The sentence names the object, what it is and what ADD had made of it.
    pub fn differs(sentence: impl Into<String>) -> Self {
        Self::new(code::INTERNAL, sentence)
    }

    /// STATUS: ADD cannot be served. The sentence names what is missing.
    pub fn not_ready(sentence: impl Into<String>) -> Self {
        Self::new(code::NOT_AVAILABLE, sentence)
    }
}

/// Returns the outcome of a verb that goes on after errors, as DEL and GC do: of several errors, one that says what all
/// of them say, with the code that they have in common.
///
/// # Errors
/// When there was any.
pub fn collected<E: Display + Into<Failure> + From<Failure>>(mut errors: Vec<E>) -> Result<(), E> {
    if errors.len() < 2 {
        return errors.pop().map_or(Ok(()), Err);
    }
    let sentences: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let codes: Vec<_> = errors.into_iter().map(|error| error.into().code).collect();
    let code = if codes.iter().all(|code| *code == codes[0]) { codes[0] } else { code::INTERNAL };
    Err(Failure::new(code, sentences.join("; ")).into())
}
