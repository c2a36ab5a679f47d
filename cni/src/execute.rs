//! Finding and executing a plugin, as a runtime or a delegating plugin does.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::decode::decode;
use crate::environment::Variables;
use crate::error::{Error, Result};
use crate::failure::Failure;

/// The executable `name` in one of the folders of `path`, which colons separate.
///
/// # Errors
/// [`Error::PluginMissing`].
pub fn find(name: &str, path: &str) -> Result<PathBuf> {
    path.split(':')
        .filter(|folder| !folder.is_empty() && !name.is_empty() && !name.contains('/'))
        .map(|folder| Path::new(folder).join(name))
        .find(|file| fs::metadata(file).is_ok_and(|found| found.is_file()))
        .ok_or_else(|| Error::PluginMissing { name: name.to_owned(), path: path.to_owned() })
}

/// Executes a plugin with `variables` in its environment and `stdin` on its standard input; its standard
/// error is ours. Returns what it printed, if anything.
///
/// # Errors
/// [`Error::Execution`] when it cannot be executed, [`Error::Plugin`] with what it said when it failed,
/// [`Error::Answer`] when it printed something that is no JSON.
pub fn execute(executable: &Path, variables: &Variables, stdin: &[u8]) -> Result<Option<Value>> {
    let failed = |source| Error::Execution { path: executable.to_owned(), source };
    let unreadable = |reason| Error::Answer {
        name: executable.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        reason,
    };
    let mut child = Command::new(executable)
        .envs(variables.pairs())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut pipe) = child.stdin.take() {
        match pipe.write_all(stdin) {
            // A plugin may answer without reading what it was told.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            written => written.map_err(failed)?,
        }
    }
    let output = child.wait_with_output().map_err(failed)?;
    let text = output.stdout.trim_ascii();
    if output.status.success() {
        if text.is_empty() {
            return Ok(None);
        }
        return serde_json::from_slice(text).map(Some).map_err(|error| unreadable(error.to_string()));
    }
    let failure =
        serde_json::from_slice::<Value>(text).ok().and_then(|answer| decode::<Failure>(&answer).ok());
    Err(match failure {
        Some(failure) => Error::Plugin(failure),
        None => unreadable(format!("{}, standard output {:?}", output.status, String::from_utf8_lossy(text))),
    })
}
