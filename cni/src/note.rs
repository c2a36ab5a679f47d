//! Telling a person something, beside the answer that the runtime gets.

use std::fmt::Display;
use std::io::Write;

/// Writes a line to standard error, which runtimes put into their logs. A closed or full standard error
/// (`eprintln!` would panic) must keep no plugin from its work.
pub fn note(sentence: impl Display) {
    // There is nobody left to tell.
    let _ = writeln!(std::io::stderr().lock(), "{sentence}");
}
