//! Executing one plugin as libcni does.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Map, Value};

use super::conflist::type_of;
use super::error::Error;

/// What stays the same for every plugin of one call.
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
    /// Runs `verb` of `plugin` with `config` on standard input; returns what it printed, if anything.
    pub fn run(
        &self,
        verb: &'static str,
        plugin: &Map<String, Value>,
        config: &Value,
    ) -> Result<Option<Value>, Error> {
        let name = type_of(plugin);
        let executable = self
            .path
            .split(':')
            .filter(|folder| !folder.is_empty())
            .map(|folder| Path::new(folder).join(name))
            .find(|file| file.is_file())
            .ok_or_else(|| Error::PluginMissing { plugin: name.to_owned(), path: self.path.clone() })?;
        let failed = |source| Error::Execute { path: executable.clone(), source };
        let mut child = Command::new(&executable)
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", &self.container_id)
            .env("CNI_NETNS", &self.netns)
            .env("CNI_IFNAME", &self.interface)
            .env("CNI_ARGS", &self.arguments)
            .env("CNI_PATH", &self.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(config.to_string().as_bytes()) {
                // A plugin may answer without reading what it was told.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                written => written.map_err(failed)?,
            }
        }
        let output = child.wait_with_output().map_err(failed)?;
        let answer = output.stdout.trim_ascii();
        let plugin_error = |message| Error::Plugin { plugin: name.to_owned(), verb, message };
        if !output.status.success() {
            let failure: Result<cni::Failure, _> = serde_json::from_slice(answer);
            return Err(plugin_error(match failure {
                Ok(failure) => format!("{failure} (code {})", failure.code),
                Err(_) => format!("{}, printed {:?}", output.status, String::from_utf8_lossy(answer)),
            }));
        }
        if answer.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(answer)
            .map(Some)
            .map_err(|error| plugin_error(format!("the result is no JSON: {error}")))
    }
}
