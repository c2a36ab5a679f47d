//! Finding and executing a plugin, as a runtime or a delegating plugin does.

use std::fmt::Display;
use std::fs;
use std::io::{self, ErrorKind, PipeReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::Builder;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::decode::decode;
use crate::environment::Variables;
use crate::error::Error;
use crate::failure::{Answer, Failure, code};
use crate::printable::printable;

/// The most bytes of a plugin's output in an error.
const EXCERPT: usize = 1024;

/// Finds the executable `name` in the folders of `path`, which colons separate.
///
/// # Errors
/// Code 999 when there is none.
pub fn find(name: &str, path: &str) -> Answer<PathBuf> {
    path.split(':')
        .filter(|folder| !folder.is_empty() && !name.is_empty() && !name.contains('/'))
        .map(|folder| Path::new(folder).join(name))
        .find(|file| fs::metadata(file).is_ok_and(|found| found.is_file()))
        .ok_or_else(|| {
            Failure::new(code::INTERNAL, format!("failed to find plugin {name:?} in path [{path}]"))
        })
}

/// Executes a plugin with `variables` in its environment and `stdin` on its standard input, and copies its standard
/// error to this process's. Returns its standard output, unless that is empty.
///
/// # Errors
/// [`Error::Plugin`] with its error object when it failed, [`Error::Call`] when it cannot be executed or its standard
/// output is not valid JSON. Both include its standard error.
pub fn execute(executable: &Path, variables: &Variables, stdin: &[u8]) -> Result<Option<Value>, Error> {
    let failed = |error| {
        let sentence = format!("cannot execute {}: {error}", executable.display());
        Failure::new(code::INTERNAL, sentence)
    };
    let (output, stderr) = run(executable, variables, stdin).map_err(failed)?;
    let text = output.stdout.trim_ascii();
    if output.status.success() && text.is_empty() {
        return Ok(None);
    }
    let unreadable = |what: String| {
        let name = executable.file_name().unwrap_or_default().to_string_lossy();
        let output = quoted("standard output", beginning(text));
        Error::Call(invalid_answer(&name, sentence([what, output, stderr_part(&stderr)])))
    };
    if output.status.success() {
        return serde_json::from_slice(text).map(Some).map_err(|error| unreadable(error.to_string()));
    }
    Err(match failure_in(text) {
        Some((before, mut failure)) => {
            let before = quoted("standard output before it", beginning(before));
            failure.details = sentence([failure.details, before, stderr_part(&stderr)]);
            Error::Plugin(failure)
        }
        None => unreadable(output.status.to_string()),
    })
}

/// Returns the error for the output of plugin `name`.
pub(crate) fn invalid_answer(name: &str, reason: impl Display) -> Failure {
    Failure::new(code::INTERNAL, format!("invalid CNI result from {name}: {reason}"))
}

/// Runs the plugin until it has ended and both its outputs are closed, as libcni does. Returns also the end of its
/// standard error.
fn run(executable: &Path, variables: &Variables, stdin: &[u8]) -> io::Result<(Output, Vec<u8>)> {
    let (reader, writer) = io::pipe()?;
    let forwarding = Builder::new().spawn(move || forward(reader))?;
    let mut command = Command::new(executable);
    command.envs(variables.pairs()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(writer);
    let spawned = spawn(&mut command);
    // This closes its copy of the pipe, so that the thread ends with the plugin.
    drop(command);
    let mut child = spawned?;
    if let Some(mut pipe) = child.stdin.take() {
        match pipe.write_all(stdin) {
            // A plugin may answer without reading its standard input.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            written => written?,
        }
    }
    let output = child.wait_with_output()?;
    Ok((output, forwarding.join().unwrap_or_default()))
}

/// Starts the plugin. A file that is open for writing, as during an installation in place, cannot be executed
/// (`ETXTBSY`); it is tried again for some seconds, as in the reference, because the kernel has no event for the end of
/// that state.
fn spawn(command: &mut Command) -> io::Result<Child> {
    const LONGEST: Duration = Duration::from_secs(5);
    const LONGEST_PAUSE: Duration = Duration::from_millis(200);
    let deadline = Instant::now() + LONGEST;
    let mut pause = Duration::from_millis(2);
    loop {
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && Instant::now() < deadline => {
                std::thread::sleep(pause);
                pause = (2 * pause).min(LONGEST_PAUSE);
            }
            spawned => return spawned,
        }
    }
}

/// Copies to standard error until the end of `from`; returns the last bytes.
fn forward(mut from: PipeReader) -> Vec<u8> {
    let mut end = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return end,
            Ok(length) => {
                // A closed or full standard error must not stop the plugin.
                let _ = io::stderr().write_all(&chunk[..length]);
                end.extend(&chunk[..length]);
                end.drain(..end.len().saturating_sub(EXCERPT));
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return end,
        }
    }
}

/// Finds the error object at the end of `text`; returns also the text before it.
fn failure_in(text: &[u8]) -> Option<(&[u8], Failure)> {
    let is_beginning = |at: &usize| text[*at] == b'{' && (*at == 0 || text[*at - 1] == b'\n');
    (0..text.len()).filter(is_beginning).find_map(|at| {
        let answer = serde_json::from_slice::<Value>(&text[at..]).ok()?;
        Some((text[..at].trim_ascii(), decode::<Failure>(&answer).ok()?))
    })
}

fn beginning(text: &[u8]) -> String {
    let shown = String::from_utf8_lossy(&text[..text.len().min(EXCERPT)]).into_owned();
    if text.len() > EXCERPT { shown + "…" } else { shown }
}

fn stderr_part(end: &[u8]) -> String {
    let text = String::from_utf8_lossy(end.trim_ascii());
    quoted("standard error", if end.len() < EXCERPT { text.into_owned() } else { format!("…{text}") })
}

/// Returns the text with its title; nothing for an empty text.
fn quoted(what: &str, text: String) -> String {
    if text.is_empty() { text } else { format!("{what}: {}", printable(&text)) }
}

fn sentence<const PARTS: usize>(parts: [String; PARTS]) -> String {
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_object_is_found_after_other_lines() {
        let (before, failure) = failure_in(b"{not it\ntrying\n{\"code\": 7,\n\"msg\": \"no\"}").unwrap();
        assert_eq!((before, failure), (&b"{not it\ntrying"[..], Failure::new(7, "no")));
        assert!(failure_in(b"no luck").is_none());
        assert!(failure_in(b"{\"ips\": []}").is_none());
    }

    #[test]
    fn the_output_of_a_plugin_is_shown_in_part_and_on_one_line() {
        assert_eq!(beginning(&[b'x'; EXCERPT + 1]).chars().count(), EXCERPT + 1);
        assert_eq!(stderr_part(b"two\nlines\x1b[2J\n"), r"standard error: two\nlines\u{1b}[2J");
        assert_eq!(stderr_part(b" \n"), "");
    }
}
