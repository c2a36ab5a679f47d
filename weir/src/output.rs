//! Standard output.
//!
//! The only place that writes to it: `println!` ends the process in the middle of things when nobody reads or the
//! disk is full.

use std::io::{self, ErrorKind, Write};

/// Prints a whole text for a reader who decides how much of it to take: one that has gone is no error.
///
/// # Errors
/// The system's, such as `ENOSPC`.
pub(crate) fn print(text: &str) -> io::Result<()> {
    match deliver(text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Prints a text that must arrive.
///
/// # Errors
/// As [`print`], and `EPIPE` when nobody reads any more.
pub(crate) fn deliver(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
