//! One call from beginning to end: environment and standard input in, one JSON object out.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};

use crate::environment::{Command, Environment, Variables};
use crate::error::{Error, Result};
use crate::failure::Failure;
use crate::note::note;
use crate::plugin::Entry;
use crate::request::Request;
use crate::version::Version;

/// What a call leaves on standard output: nothing, a result, or (then the exit code is 1) an error.
pub type Outcome = std::result::Result<Option<Value>, Failure>;

/// Serves the call that this process was started for. `plugins` are all plugins of the executable, for
/// delegation in the process.
///
/// Without `CNI_COMMAND` it tells name and versions on standard error, which nerdctl and Nomad read.
pub fn main(plugin: &'static Entry, plugins: &'static [Entry]) -> ExitCode {
    let variables = Variables::of_process();
    if variables.command.is_empty() {
        let versions = Version::ALL.map(Version::as_str).join(", ");
        note(format_args!("CNI {} plugin v{}", plugin.name, env!("CARGO_PKG_VERSION")));
        note(format_args!("CNI protocol versions supported: {versions}"));
        return ExitCode::SUCCESS;
    }
    let read_stdin = || {
        let mut stdin = Vec::with_capacity(4096);
        std::io::stdin().read_to_end(&mut stdin).map(|_| stdin).map_err(|source| Error::Stdin { source })
    };
    let outcome = answer(plugin, plugins, variables, read_stdin);
    let (code, printed) = match &outcome {
        Ok(None) => (ExitCode::SUCCESS, Ok(())),
        Ok(Some(result)) => (ExitCode::SUCCESS, print(result)),
        Err(failure) => (ExitCode::FAILURE, print(failure)),
    };
    match printed {
        Ok(()) => code,
        Err(error) => {
            note(format_args!("weir: cannot write the answer to standard output: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Serves a call inside the process, as a delegate.
pub fn call(
    plugin: &'static Entry,
    plugins: &'static [Entry],
    variables: Variables,
    stdin: Vec<u8>,
) -> Outcome {
    answer(plugin, plugins, variables, || Ok(stdin))
}

fn answer(
    plugin: &'static Entry,
    plugins: &'static [Entry],
    variables: Variables,
    read_stdin: impl FnOnce() -> Result<Vec<u8>>,
) -> Outcome {
    let environment = variables.validate()?;
    if environment.command == Command::Version {
        return Ok(Some(json!({
            "cniVersion": Version::NEWEST.as_str(),
            "supportedVersions": Version::ALL.map(Version::as_str),
        })));
    }
    let request = Request::new(environment, read_stdin()?, plugin, plugins)?;
    refuse_own_namespace(&request.environment)?;
    match request.environment.command {
        Command::Add => {
            let result = (plugin.add)(&request)?;
            return Ok(Some(result.to_json(request.version)));
        }
        Command::Check => (plugin.check)(&request)?,
        Command::Del => (plugin.del)(&request)?,
        Command::Gc => (plugin.gc)(&request)?,
        Command::Status => (plugin.status)(&request)?,
        Command::Version => {}
    }
    Ok(None)
}

/// A runtime that hands over the plugin's own namespace would have the host's interfaces changed.
fn refuse_own_namespace(environment: &Environment) -> Result<()> {
    let netns = &environment.variables.netns;
    if !environment.command.has_attachment() || netns.is_empty() || environment.allows_own_namespace() {
        return Ok(());
    }
    let identity = |path: &str| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
    match (identity(netns), identity("/proc/thread-self/ns/net")) {
        (Ok(theirs), Ok(own)) if theirs == own => Err(Error::OwnNamespace { netns: netns.clone() }),
        _ => Ok(()),
    }
}

/// Indented by four spaces, as the reference prints.
fn print(answer: &impl Serialize) -> std::io::Result<()> {
    let mut text = Vec::with_capacity(1024);
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    answer.serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))?;
    text.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&text)?;
    stdout.flush()
}
