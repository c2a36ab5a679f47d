//! Lines for the operator, beside the answer to the runtime.

use std::fmt::Display;
use std::io::Write;

use crate::printable::printable;

/// Writes a line to standard error, which runtimes log. Control characters become escapes; see [`printable`]. An error
/// is ignored: a closed or full standard error, on which `eprintln!` panics, must not stop a plugin.
pub fn note(sentence: impl Display) {
    let sentence = sentence.to_string();
    let _ = writeln!(std::io::stderr().lock(), "{}", printable(&sentence));
}
