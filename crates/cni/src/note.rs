//! Telling a person something, beside the answer that the runtime gets.

use std::fmt::Display;
use std::io::Write;

use crate::printable::printable;

/// Writes a line to standard error, which runtimes put into their logs; see [`printable`] for what becomes of
/// control characters. A closed or full standard error (`eprintln!` would panic) must keep no plugin from its work.
pub fn note(sentence: impl Display) {
    let sentence = sentence.to_string();
    // There is nobody left to tell.
    let _ = writeln!(std::io::stderr().lock(), "{}", printable(&sentence));
}
