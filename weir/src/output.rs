//! Standard output.
//!
//! Nothing else writes to it: `println!` panics when the reader has gone or the disk is full.

use std::io::{self, ErrorKind, Write};

use crate::error::Error;

/// Prints a text for a reader that may stop reading: a closed pipe is not an error.
///
/// # Errors
/// [`Error::Print`], such as `ENOSPC`.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    match deliver(text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Error::Print),
    }
}

/// Prints a text that must arrive.
///
/// # Errors
/// The system's; `EPIPE` when the reader has gone.
pub(crate) fn deliver(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
