//! Standard output.

use std::io::{self, ErrorKind, Write};

/// Prints a whole text; who reads decides how much of it.
pub(crate) fn print(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
