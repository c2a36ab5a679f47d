//! Calling another plugin by name (specification, section 4, "Plugin Delegation").

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::attachment::ValidAttachment;
use crate::environment::Command;
use crate::error::Error;
use crate::execute::{execute, find, invalid_answer};
use crate::failure::{Answer, Failure, code};
use crate::plugin::Plugin;
use crate::request::{Request, VALID_ATTACHMENTS};
use crate::result::AddResult;
use crate::serve;
use crate::version::Version;

/// A plugin on `CNI_PATH` that gets the environment and config of this call.
///
/// When its file is this executable, the call stays in the process; otherwise the file is executed. Both use the same
/// JSON, so result and errors are the same.
pub struct Delegate<'a> {
    request: &'a Request,
    name: &'a str,
    place: Place,
}

enum Place {
    /// A plugin of this executable.
    Here(&'static Plugin),
    /// Another executable.
    There(PathBuf),
}

impl Request {
    /// Finds the plugin `name` on `CNI_PATH`.
    ///
    /// # Errors
    /// Code 999 when there is none, code 7 when it is the called plugin itself.
    pub fn delegate<'a>(&'a self, name: &'a str) -> Answer<Delegate<'a>> {
        let file = find(name, &self.environment.variables.path)?;
        let is_this = match (fs::metadata("/proc/self/exe"), fs::metadata(&file)) {
            (Ok(own), Ok(found)) => (own.dev(), own.ino()) == (found.dev(), found.ino()),
            _ => false,
        };
        let place = match Plugin::of_executable(self.plugins, name).filter(|_| is_this) {
            Some(plugin) if plugin.name == self.plugin => {
                let sentence = format!(
                    "{name:?} cannot be its own delegate: ipam.type must name an IPAM plugin, such as \"host-local\""
                );
                return Err(Failure::new(code::INVALID_CONFIG, sentence));
            }
            Some(plugin) => Place::Here(plugin),
            None => Place::There(file),
        };
        Ok(Delegate { request: self, name, place })
    }
}

impl Delegate<'_> {
    /// Returns whether another file is executed.
    pub fn is_executed(&self) -> bool {
        matches!(self.place, Place::There(_))
    }

    /// Calls ADD. The result has its own version; without one it has the config's.
    ///
    /// # Errors
    /// [`Error::Plugin`] with the delegate's error, [`Error::Call`] when it gave no answer.
    pub fn add(&self) -> Result<AddResult, Error> {
        let answer =
            self.call(Command::Add)?.ok_or_else(|| invalid_answer(self.name, "standard output is empty"))?;
        let version = answer["cniVersion"].as_str().and_then(|version| Version::of_config(version).ok());
        AddResult::from_json(&answer, version.unwrap_or(self.request.version))
            .map_err(|error| invalid_answer(self.name, error).into())
    }

    /// Calls CHECK.
    ///
    /// # Errors
    /// Those of [`Delegate::add`].
    pub fn check(&self) -> Result<(), Error> {
        self.call(Command::Check).map(drop)
    }

    /// Calls DEL.
    ///
    /// # Errors
    /// Those of [`Delegate::add`].
    pub fn del(&self) -> Result<(), Error> {
        self.call(Command::Del).map(drop)
    }

    /// Calls GC. Where the config has a list of valid attachments, the delegate's list contains the `kept` ones too.
    ///
    /// # Errors
    /// Those of [`Delegate::add`].
    pub fn gc(&self, kept: &[ValidAttachment]) -> Result<(), Error> {
        if kept.is_empty() {
            return self.call(Command::Gc).map(drop);
        }
        let mut config = self.request.document.clone();
        for name in VALID_ATTACHMENTS {
            match config.get_mut(name) {
                Some(Value::Array(list)) => list.extend(kept.iter().map(|kept| json!(kept))),
                Some(list) => *list = json!(kept),
                None => {}
            }
        }
        self.call_with(Command::Gc, config.to_string().into_bytes()).map(drop)
    }

    /// Calls STATUS.
    ///
    /// # Errors
    /// Those of [`Delegate::add`].
    pub fn status(&self) -> Result<(), Error> {
        self.call(Command::Status).map(drop)
    }

    fn call(&self, command: Command) -> Result<Option<Value>, Error> {
        self.call_with(command, self.request.stdin.clone())
    }

    fn call_with(&self, command: Command, stdin: Vec<u8>) -> Result<Option<Value>, Error> {
        let variables = self.request.environment.variables.with_command(command);
        match &self.place {
            Place::Here(plugin) => {
                serve::call(plugin, self.request.plugins, variables, stdin).map_err(Error::Plugin)
            }
            Place::There(path) => execute(path, &variables, &stdin),
        }
    }
}
