//! A validated call.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::attachment::{Attachment, ValidAttachment};
use crate::decode::decode;
use crate::environment::{Command, Environment, is_identifier};
use crate::failure::{Answer, Failure, code};
use crate::note::note;
use crate::plugin::Plugin;
use crate::result::AddResult;
use crate::version::Version;

/// The environment and standard input of one call, checked against the protocol.
pub struct Request {
    /// The environment.
    pub environment: Environment,
    /// `cniVersion` of the config.
    pub version: Version,
    /// `name` of the config.
    pub network: String,
    /// The result of the previous plugin, if there is one. DEL continues without one that cannot be read.
    pub prev_result: Option<AddResult>,
    /// The whole config; [`Request::config`] decodes it into a type.
    pub document: Value,
    /// Standard input, for a delegate.
    pub(crate) stdin: Vec<u8>,
    /// The name of the called plugin.
    pub(crate) plugin: &'static str,
    /// The plugins of this executable.
    pub(crate) plugins: &'static [Plugin],
}

/// The most bytes of a network's name: IPAM plugins and runtimes name files after it (`NAME_MAX` in
/// uapi/linux/limits.h).
pub(crate) const NETWORK_NAME_MAX: usize = 255;

const PREV_RESULT: &str = "prevResult";

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Common {
    cni_version: String,
    name: String,
    prev_result: Option<Value>,
}

/// The keys of the list of valid attachments: the specification's, and a second one of libcni since 1.2.
pub(crate) const VALID_ATTACHMENTS: [&str; 2] = ["cni.dev/valid-attachments", "cni.dev/attachments"];

#[derive(Default, Deserialize)]
#[serde(default)]
struct Valid {
    #[serde(rename = "cni.dev/valid-attachments")]
    specified: Vec<ValidAttachment>,
    #[serde(rename = "cni.dev/attachments")]
    historical: Vec<ValidAttachment>,
}

impl Request {
    /// Parses standard input and checks it against the verb.
    ///
    /// # Errors
    /// Codes 1, 6 and 7.
    pub(crate) fn new(
        environment: Environment,
        stdin: Vec<u8>,
        plugin: &'static Plugin,
        plugins: &'static [Plugin],
    ) -> Answer<Self> {
        let document: Value = serde_json::from_slice(&stdin).map_err(|error| {
            let is_empty = stdin.trim_ascii().is_empty();
            not_json(if is_empty { "standard input is empty".to_owned() } else { error.to_string() })
        })?;
        if !document.is_object() {
            return Err(not_json("want an object".to_owned()));
        }
        let common: Common = decode(&document)?;
        validate_name(&common.name, environment.command)?;
        let version = Version::of_config(&common.cni_version)?;
        allow(environment.command, version)?;
        let prev_result = match common.prev_result.map(|value| AddResult::from_json(&value, version)) {
            Some(Err(error)) if environment.command == Command::Del => {
                note(format_args!("weir: continuing without prevResult, which cannot be read: {error}"));
                None
            }
            prev_result => prev_result.transpose().map_err(|error| {
                Failure::new(code::DECODING_FAILURE, format!("cannot read prevResult: {error}"))
            })?,
        };
        Ok(Self {
            environment,
            version,
            network: common.name,
            prev_result,
            document,
            stdin,
            plugin: plugin.name,
            plugins,
        })
    }

    /// Turns this ADD into the call that undoes it: a DEL with `result` as `prevResult`. A delegate gets that too where
    /// the config's version has it for DEL (since 0.4.0).
    pub(crate) fn undoing(self, result: AddResult) -> Self {
        let mut undoing = self;
        undoing.environment.command = Command::Del;
        Command::Del.as_str().clone_into(&mut undoing.environment.variables.command);
        if let Value::Object(keys) = &mut undoing.document {
            keys.retain(|key, _| !key.eq_ignore_ascii_case(PREV_RESULT));
            if undoing.version >= Version::V0_4_0 {
                keys.insert(PREV_RESULT.to_owned(), result.to_json(undoing.version));
            }
        }
        undoing.stdin = undoing.document.to_string().into_bytes();
        undoing.prev_result = Some(result);
        undoing
    }

    /// Decodes the config into `T`; see [`decode`] for how keys are matched.
    ///
    /// # Errors
    /// Code 7 with the first invalid key and its value.
    pub fn config<T: DeserializeOwned>(&self) -> Answer<T> {
        Ok(decode(&self.document)?)
    }

    /// Returns the name of the called plugin.
    pub fn plugin(&self) -> &'static str {
        self.plugin
    }

    /// Returns `CNI_CONTAINERID`.
    pub fn container_id(&self) -> &str {
        &self.environment.variables.container_id
    }

    /// Returns `CNI_IFNAME`.
    pub fn interface(&self) -> &str {
        &self.environment.variables.interface
    }

    /// Returns `CNI_NETNS`; `None` when it is empty, as in a DEL after the namespace was deleted.
    pub fn netns(&self) -> Option<&str> {
        Some(self.environment.variables.netns.as_str()).filter(|netns| !netns.is_empty())
    }

    /// Returns the attachment that the call is about.
    pub fn attachment(&self) -> Attachment {
        Attachment {
            network: self.network.clone(),
            container_id: self.container_id().to_owned(),
            interface: self.interface().to_owned(),
            pod: self.environment.arguments.pod(),
        }
    }

    /// Returns the attachments that GC must keep. `null` and an empty list mean that none is valid; `None` means that
    /// the runtime sent no list, so nothing may be removed.
    ///
    /// # Errors
    /// Code 7 when the list is invalid.
    pub fn valid_attachments(&self) -> Answer<Option<Vec<ValidAttachment>>> {
        let [specified, historical] = VALID_ATTACHMENTS.map(|name| self.document.get(name).is_some());
        let valid: Valid = decode(&self.document)?;
        if specified {
            Ok(Some(valid.specified))
        } else if historical {
            Ok(Some(valid.historical))
        } else {
            Ok(None)
        }
    }
}

fn not_json(reason: String) -> Failure {
    Failure::new(code::DECODING_FAILURE, format!("error unmarshalling network config: {reason}"))
}

fn validate_name(name: &str, command: Command) -> Answer<()> {
    let invalid = |sentence: String| {
        Failure::new(code::INVALID_CONFIG, sentence).with_details(format!("name is {name:?}"))
    };
    if name.is_empty() {
        return Err(Failure::new(code::INVALID_CONFIG, "missing network name"));
    }
    if !is_identifier(name) {
        return Err(invalid("invalid characters found in network name".to_owned()));
    }
    if command == Command::Add && name.len() > NETWORK_NAME_MAX {
        let length = name.len();
        return Err(invalid(format!(
            "network name is too long: {length} bytes, at most {NETWORK_NAME_MAX} are allowed"
        )));
    }
    Ok(())
}

fn allow(command: Command, version: Version) -> Answer<()> {
    let since = match command {
        Command::Check => Version::V0_4_0,
        Command::Gc | Command::Status => Version::V1_1_0,
        Command::Add | Command::Del | Command::Version => return Ok(()),
    };
    if version >= since {
        return Ok(());
    }
    let sentence = format!("config version does not allow {}", command.as_str());
    Err(Failure::new(code::INCOMPATIBLE_VERSION, sentence)
        .with_details(format!("the config's cniVersion is {version}, the verb exists since {since}")))
}
