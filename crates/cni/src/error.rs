//! Errors of a call before the plugin's function, and of a delegate.

use std::path::PathBuf;

use crate::decode::DecodeError;
use crate::failure::{Failure, code};
use crate::request::NETWORK_NAME_MAX;
use crate::version::Version;

/// Result of a protocol operation.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// A call that breaks the protocol, or a delegate that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The config's version is not supported.
    #[error("incompatible CNI versions")]
    IncompatibleVersion {
        /// `cniVersion`.
        asked: String,
    },
    /// The config's version does not have the verb.
    #[error("config version does not allow {verb}")]
    VerbNotAllowed {
        /// The verb.
        verb: &'static str,
        /// The config's version.
        version: Version,
        /// The first version that has the verb.
        since: Version,
    },
    /// Required environment variables are missing.
    #[error("required env variables [{}] missing", names.join(","))]
    MissingVariables {
        /// Their names.
        names: Vec<&'static str>,
    },
    /// `CNI_COMMAND` is not a verb.
    #[error("unknown CNI_COMMAND: {command}")]
    UnknownCommand {
        /// Its value.
        command: String,
    },
    /// `CNI_CONTAINERID` has characters that are not allowed.
    #[error("invalid characters in containerID")]
    InvalidContainerId {
        /// Its value.
        container_id: String,
    },
    /// `CNI_IFNAME` is not an interface name.
    #[error("{problem}")]
    InvalidInterfaceName {
        /// Its value.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// `CNI_ARGS` is not a list of pairs.
    #[error("CNI_ARGS: invalid pair {pair:?}: want KEY=VALUE;KEY=VALUE")]
    InvalidArguments {
        /// The part without `=`.
        pair: String,
    },
    /// Standard input cannot be read.
    #[error("error reading from stdin: {source}")]
    Stdin {
        /// The system's error.
        source: std::io::Error,
    },
    /// Standard input is not JSON.
    #[error("error unmarshalling network config: {reason}")]
    NotJson {
        /// The parser's message, with line and column.
        reason: String,
    },
    /// A key of the config has an invalid value.
    #[error("invalid network config: {0}")]
    Config(DecodeError),
    /// The config has no name.
    #[error("missing network name")]
    MissingNetworkName,
    /// The config's name has characters that are not allowed.
    #[error("invalid characters found in network name")]
    InvalidNetworkName {
        /// The name.
        name: String,
    },
    /// The config's name is longer than a file's name can be.
    #[error("network name is too long: {} bytes, at most {NETWORK_NAME_MAX} are allowed", name.len())]
    LongNetworkName {
        /// The name.
        name: String,
    },
    /// `prevResult` cannot be read.
    #[error("cannot read prevResult: {0}")]
    PrevResult(DecodeError),
    /// The namespace is the plugin's own.
    #[error("plugin's netns and netns from CNI_NETNS should not be the same")]
    OwnNamespace {
        /// `CNI_NETNS`.
        netns: String,
    },
    /// A plugin is not on `CNI_PATH`.
    #[error("failed to find plugin {name:?} in path [{path}]")]
    PluginMissing {
        /// Its name.
        name: String,
        /// `CNI_PATH`.
        path: String,
    },
    /// A plugin names itself as its delegate.
    #[error(
        "{name:?} cannot be its own delegate: ipam.type must name an IPAM plugin, such as \"host-local\""
    )]
    OwnDelegate {
        /// Its name.
        name: String,
    },
    /// A plugin could not be executed.
    #[error("cannot execute {}: {source}", path.display())]
    Execution {
        /// The executable.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The output of a plugin cannot be parsed.
    #[error("invalid CNI result from {name}: {reason}")]
    Answer {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A plugin failed with this error object.
    #[error(transparent)]
    Plugin(#[from] Failure),
}

impl From<Error> for Failure {
    /// Gives protocol errors their codes.
    fn from(error: Error) -> Self {
        let msg = error.to_string();
        let (code, details) = match error {
            Error::IncompatibleVersion { asked } => {
                let known = Version::ALL.map(|version| format!("{:?}", version.as_str())).join(" ");
                (code::INCOMPATIBLE_VERSION, format!("config is {asked:?}, plugin supports [{known}]"))
            }
            Error::VerbNotAllowed { version, since, .. } => (
                code::INCOMPATIBLE_VERSION,
                format!("the config's cniVersion is {version}, the verb exists since {since}"),
            ),
            Error::MissingVariables { .. }
            | Error::UnknownCommand { .. }
            | Error::InvalidArguments { .. } => (code::INVALID_ENVIRONMENT, String::new()),
            Error::InvalidContainerId { container_id } => {
                (code::INVALID_ENVIRONMENT, format!("CNI_CONTAINERID is {container_id:?}"))
            }
            Error::InvalidInterfaceName { name, .. } => {
                (code::INVALID_ENVIRONMENT, format!("CNI_IFNAME is {name:?}"))
            }
            Error::Stdin { .. } => (code::IO_FAILURE, String::new()),
            Error::NotJson { .. } | Error::PrevResult(_) => (code::DECODING_FAILURE, String::new()),
            Error::Config(_) | Error::MissingNetworkName | Error::OwnDelegate { .. } => {
                (code::INVALID_CONFIG, String::new())
            }
            Error::InvalidNetworkName { name } | Error::LongNetworkName { name } => {
                (code::INVALID_CONFIG, format!("name is {name:?}"))
            }
            Error::OwnNamespace { netns } => {
                (code::INVALID_NETNS, format!("CNI_NETNS is {netns:?}; CNI_NETNS_OVERRIDE=1 allows it"))
            }
            Error::PluginMissing { .. } | Error::Execution { .. } | Error::Answer { .. } => {
                (code::INTERNAL, String::new())
            }
            Error::Plugin(failure) => return failure,
        };
        Self { code, msg, details }
    }
}
