//! Files that runtimes and operators write: network configurations and cached results.

use std::io;
use std::path::Path;

use linux::{SymbolicLinks, read_regular};

/// The most bytes that are read of a file, 4 MiB: configurations and results are far smaller.
pub const MAX_BYTES: usize = 4 << 20;

/// Reads a regular file of at most [`MAX_BYTES`].
///
/// # Errors
/// As [`read_regular`].
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    read_regular(path, MAX_BYTES, SymbolicLinks::Follow)
}
