//! One call: from environment and standard input to one JSON object on standard output.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};

use crate::environment::{Command, Environment, Variables, validate_new_interface};
use crate::failure::{Answer, Failure, code};
use crate::note::note;
use crate::plugin::Plugin;
use crate::request::Request;
use crate::result::AddResult;
use crate::version::Version;

/// The outcome of a call: nothing, a result, or an error with exit code 1.
pub type Outcome = Answer<Option<Value>>;

/// Serves the call of this process and returns its exit code. `plugins` are all plugins of the executable, for
/// delegation in the process.
///
/// Without `CNI_COMMAND` it prints name and versions on standard error, which nerdctl and Nomad parse.
pub fn main(plugin: &'static Plugin, plugins: &'static [Plugin]) -> ExitCode {
    let variables = Variables::of_process();
    if variables.command.is_empty() {
        let versions = Version::ALL.map(Version::as_str).join(", ");
        note(format_args!("CNI {} plugin v{}", plugin.name, env!("CARGO_PKG_VERSION")));
        note(format_args!("CNI protocol versions supported: {versions}"));
        return ExitCode::SUCCESS;
    }
    let read_stdin = || {
        let mut stdin = Vec::with_capacity(4096);
        std::io::stdin()
            .read_to_end(&mut stdin)
            .map(|_| stdin)
            .map_err(|error| Failure::new(code::IO_FAILURE, format!("error reading from stdin: {error}")))
    };
    let request = match accept(plugin, plugins, variables, read_stdin) {
        Ok(Some(request)) => request,
        Ok(None) => return end(ExitCode::SUCCESS, print(&versions())),
        Err(failure) => return end(ExitCode::FAILURE, print(&failure)),
    };
    match serve(plugin, &request) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(result)) => {
            let printed = print(&result.to_json(request.version));
            if printed.is_err() {
                undo(plugin, request, result);
            }
            end(ExitCode::SUCCESS, printed)
        }
        Err(failure) => end(ExitCode::FAILURE, print(&failure)),
    }
}

/// Returns the exit code: `code` unless the answer could not be printed.
fn end(code: ExitCode, printed: std::io::Result<()>) -> ExitCode {
    match printed {
        Ok(()) => code,
        Err(error) => {
            note(format_args!("weir: cannot write the answer to standard output: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Undoes an ADD whose result could not be printed: the runtime treats it as failed and need not call DEL.
fn undo(plugin: &Plugin, request: Request, result: AddResult) {
    let container = request.container_id().to_owned();
    match (plugin.undo_add)(&request.undoing(result.clone()), &result) {
        Ok(()) => note(format_args!("{}: took back the ADD of container {container}", plugin.name)),
        Err(failure) => {
            note(format_args!(
                "{}: while taking back the ADD of container {container}: {failure}",
                plugin.name
            ));
        }
    }
}

/// Serves a call to a delegate in this process.
///
/// # Errors
/// The delegate's.
pub fn call(
    plugin: &'static Plugin,
    plugins: &'static [Plugin],
    variables: Variables,
    stdin: Vec<u8>,
) -> Outcome {
    match accept(plugin, plugins, variables, || Ok(stdin))? {
        None => Ok(Some(versions())),
        Some(request) => Ok(serve(plugin, &request)?.map(|result| result.to_json(request.version))),
    }
}

/// Reads and checks the call; `None` for VERSION, which has no config.
fn accept(
    plugin: &'static Plugin,
    plugins: &'static [Plugin],
    variables: Variables,
    read_stdin: impl FnOnce() -> Answer<Vec<u8>>,
) -> Answer<Option<Request>> {
    let environment = variables.validate()?;
    if environment.command == Command::Version {
        return Ok(None);
    }
    let mut request = Request::new(environment, read_stdin()?, plugin, plugins)?;
    if plugin.makes_interface && request.environment.command == Command::Add {
        validate_new_interface(request.interface())?;
    }
    refuse_own_namespace(&mut request.environment)?;
    Ok(Some(request))
}

/// Returns the answer to VERSION.
fn versions() -> Value {
    json!({
        "cniVersion": Version::NEWEST.as_str(),
        "supportedVersions": Version::ALL.map(Version::as_str),
    })
}

/// Calls the plugin's function for the verb; returns the result of ADD.
fn serve(plugin: &Plugin, request: &Request) -> Answer<Option<AddResult>> {
    match request.environment.command {
        Command::Add => return (plugin.add)(request).map(Some),
        Command::Check => (plugin.check)(request)?,
        Command::Del => (plugin.del)(request)?,
        Command::Gc => (plugin.gc)(request)?,
        Command::Status => (plugin.status)(request)?,
        Command::Version => {}
    }
    Ok(None)
}

/// Refuses the plugin's own namespace, in which it would change the host's interfaces. DEL is served as without a
/// namespace, by this plugin and its delegates: a runtime would repeat a refused one for ever.
fn refuse_own_namespace(environment: &mut Environment) -> Answer<()> {
    let netns = &environment.variables.netns;
    if !environment.command.has_attachment() || netns.is_empty() || environment.allows_own_namespace() {
        return Ok(());
    }
    let identity = |path: &str| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
    match (identity(netns), identity("/proc/thread-self/ns/net")) {
        (Ok(theirs), Ok(own)) if theirs == own => {}
        _ => return Ok(()),
    }
    if environment.command != Command::Del {
        let sentence = "plugin's netns and netns from CNI_NETNS should not be the same";
        return Err(Failure::new(code::INVALID_NETNS, sentence)
            .with_details(format!("CNI_NETNS is {netns:?}; CNI_NETNS_OVERRIDE=1 allows it")));
    }
    note(format_args!(
        "weir: CNI_NETNS is the plugin's own namespace, {netns}: DEL continues without a namespace"
    ));
    environment.variables.netns.clear();
    Ok(())
}

/// Prints the answer, indented by four spaces as the reference does.
fn print(answer: &impl Serialize) -> std::io::Result<()> {
    let mut text = Vec::with_capacity(1024);
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    answer.serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))?;
    text.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&text)?;
    stdout.flush()
}
