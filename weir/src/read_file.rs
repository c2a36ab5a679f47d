//! Reading what others wrote: configs and kept results.

use std::io::{self, Read};
use std::path::Path;

use linux::{SymbolicLinks, read_regular};

/// No config and no result comes near this size.
const MOST_BYTES: usize = 4 << 20;

/// The content of a regular file of at most 4 MiB.
///
/// # Errors
/// As [`read_regular`].
pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    read_regular(path, MOST_BYTES, SymbolicLinks::Follow)
}

/// The whole of standard input, at most 4 MiB.
///
/// # Errors
/// The system's; `FileTooLarge` when there is more.
pub(crate) fn read_standard_input() -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    io::stdin().lock().take(MOST_BYTES as u64 + 1).read_to_end(&mut content)?;
    match content.len() > MOST_BYTES {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {MOST_BYTES} bytes"))),
        false => Ok(content),
    }
}
