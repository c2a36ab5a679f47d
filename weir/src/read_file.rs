//! Reading a file that others may have put there.

use std::io::{self, Read};
use std::path::Path;

use linux::SymbolicLinks;

/// No config and no result comes near this size.
const MOST_BYTES: usize = 4 << 20;

/// The content of a regular file of at most 4 MiB: a FIFO would block, and a device such as `/dev/zero` has no end.
///
/// # Errors
/// The system's, or what is wrong with the file.
pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    linux::read_regular(path, MOST_BYTES, SymbolicLinks::Follow)
}

/// The whole of standard input, at most 4 MiB.
///
/// # Errors
/// The system's, or that there is more.
pub(crate) fn read_standard_input() -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    io::stdin().lock().take(MOST_BYTES as u64 + 1).read_to_end(&mut content)?;
    if content.len() > MOST_BYTES {
        return Err(io::Error::other(format!("larger than {} MiB", MOST_BYTES >> 20)));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn only_a_regular_file_of_some_size_is_read() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "text").unwrap();
        assert_eq!(read_file(&file).unwrap(), b"text");
        File::options().write(true).open(&file).unwrap().set_len(MOST_BYTES as u64 + 1).unwrap();
        assert_eq!(read_file(&file).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let fifo = place.path().join("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        for path in [fifo.as_path(), place.path(), Path::new("/dev/zero")] {
            assert!(read_file(path).is_err(), "{}", path.display());
        }
    }
}
