//! Calling another plugin by name (specification, section 4, "Plugin Delegation").

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use serde_json::Value;

use crate::environment::Command;
use crate::error::{Error, Result};
use crate::failure::Failure;
use crate::plugin::Entry;
use crate::request::Request;
use crate::result::AddResult;
use crate::serve;

/// A plugin that was found on `CNI_PATH`, to be called with the same environment and config as we were.
///
/// Where the file is this very executable the call stays in the process; elsewhere it is executed. Both
/// go through the same JSON, so result and errors are the same.
pub struct Delegate<'a> {
    request: &'a Request,
    name: &'a str,
    place: Place,
}

enum Place {
    /// A plugin of this executable.
    Here(&'static Entry),
    /// Another executable.
    There(PathBuf),
}

impl Request {
    /// Finds the plugin `name` on `CNI_PATH`.
    ///
    /// # Errors
    /// [`Error::DelegateMissing`].
    pub fn delegate<'a>(&'a self, name: &'a str) -> Result<Delegate<'a>> {
        let path = &self.environment.variables.path;
        let found = path
            .split(':')
            .filter(|folder| !folder.is_empty() && !name.is_empty() && !name.contains('/'))
            .map(|folder| Path::new(folder).join(name))
            .find_map(|file| {
                fs::metadata(&file).ok().filter(fs::Metadata::is_file).map(|found| (file, found))
            });
        let Some((file, found)) = found else {
            return Err(Error::DelegateMissing { name: name.to_owned(), path: path.clone() });
        };
        let is_this = fs::metadata("/proc/self/exe")
            .is_ok_and(|own| (own.dev(), own.ino()) == (found.dev(), found.ino()));
        let place = match Entry::called(self.plugins, name).filter(|_| is_this) {
            Some(plugin) => Place::Here(plugin),
            None => Place::There(file),
        };
        Ok(Delegate { request: self, name, place })
    }
}

impl Delegate<'_> {
    /// ADD, with the delegate's result.
    ///
    /// # Errors
    /// [`Error::Delegate`] with what the delegate said, or why it could not be called.
    pub fn add(&self) -> Result<AddResult> {
        let unreadable = |reason: String| Error::DelegateAnswer { name: self.name.to_owned(), reason };
        let answer =
            self.call(Command::Add)?.ok_or_else(|| unreadable("standard output is empty".to_owned()))?;
        AddResult::from_json(&answer, self.request.version).map_err(|error| unreadable(error.to_string()))
    }

    /// CHECK.
    ///
    /// # Errors
    /// As [`Delegate::add`].
    pub fn check(&self) -> Result<()> {
        self.call(Command::Check).map(drop)
    }

    /// DEL.
    ///
    /// # Errors
    /// As [`Delegate::add`].
    pub fn del(&self) -> Result<()> {
        self.call(Command::Del).map(drop)
    }

    /// GC.
    ///
    /// # Errors
    /// As [`Delegate::add`].
    pub fn gc(&self) -> Result<()> {
        self.call(Command::Gc).map(drop)
    }

    /// STATUS.
    ///
    /// # Errors
    /// As [`Delegate::add`].
    pub fn status(&self) -> Result<()> {
        self.call(Command::Status).map(drop)
    }

    fn call(&self, command: Command) -> Result<Option<Value>> {
        let variables = self.request.environment.variables.with_command(command);
        match &self.place {
            Place::Here(plugin) => {
                Ok(serve::call(plugin, self.request.plugins, variables, self.request.stdin.clone())?)
            }
            Place::There(path) => self.execute(path, &variables),
        }
    }

    fn execute(&self, path: &Path, variables: &crate::Variables) -> Result<Option<Value>> {
        let failed = |source| Error::DelegateExecution { path: path.to_owned(), source };
        let mut child = Process::new(path)
            .envs(variables.pairs())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(&self.request.stdin) {
                // A plugin may answer without reading what it was told.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
                outcome => outcome.map_err(failed)?,
            }
        }
        let output = child.wait_with_output().map_err(failed)?;
        let text = output.stdout.trim_ascii();
        let unreadable = |reason: String| Error::DelegateAnswer { name: self.name.to_owned(), reason };
        if output.status.success() {
            if text.is_empty() {
                return Ok(None);
            }
            return serde_json::from_slice(text).map(Some).map_err(|error| unreadable(error.to_string()));
        }
        match serde_json::from_slice::<Failure>(text) {
            Ok(failure) => Err(Error::Delegate(failure)),
            Err(_) => Err(unreadable(format!(
                "{}, standard output {:?}",
                output.status,
                String::from_utf8_lossy(text)
            ))),
        }
    }
}
