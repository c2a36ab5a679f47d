//! The error object that a runtime reads (specification, section 5, "Error").

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

impl Failure {
    /// A failure without details.
    pub fn new(code: u32, msg: impl Into<String>) -> Self {
        Self { code, msg: msg.into(), details: String::new() }
    }
}
