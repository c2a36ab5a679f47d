//! Executing a plugin as libcni does.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::conflist::type_of;
use super::error::Error;

/// What is the same for every plugin of a call.
pub(crate) struct Execution {
    /// `CNI_PATH`.
    pub path: String,
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_NETNS`.
    pub netns: String,
    /// `CNI_IFNAME`.
    pub interface: String,
    /// `CNI_ARGS`.
    pub arguments: String,
}

impl Execution {
    /// Finds the executable of `plugin`.
    pub fn find(&self, plugin: &Map<String, Value>) -> Result<PathBuf, Error> {
        Ok(cni::find(type_of(plugin), &self.path)?)
    }

    /// Runs `verb` of `plugin` with `config` on standard input, and returns the JSON that it printed, if any.
    pub fn run(
        &self,
        verb: &'static str,
        plugin: &Map<String, Value>,
        config: &Value,
    ) -> Result<Option<Value>, Error> {
        let variables = cni::Variables {
            command: verb.to_owned(),
            container_id: self.container_id.clone(),
            netns: self.netns.clone(),
            interface: self.interface.clone(),
            arguments: self.arguments.clone(),
            path: self.path.clone(),
            netns_override: std::env::var("CNI_NETNS_OVERRIDE").unwrap_or_default(),
        };
        cni::execute(&self.find(plugin)?, &variables, config.to_string().as_bytes()).map_err(|error| {
            let plugin = type_of(plugin).to_owned();
            match error {
                cni::Error::Plugin(failure) => {
                    Error::Plugin { plugin, verb, message: format!("{failure} (code {})", failure.code) }
                }
                other => Error::Plugin { plugin, verb, message: other.to_string() },
            }
        })
    }
}
