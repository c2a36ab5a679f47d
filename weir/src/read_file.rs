//! Reading a file that others may have put there.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc::O_NONBLOCK;

/// No config and no result comes near this size.
const MOST_BYTES: u64 = 4 << 20;

/// The content of a regular file of at most 4 MiB: a FIFO would block, and a device such as `/dev/zero` has no end.
///
/// # Errors
/// The system's, or what is wrong with the file.
pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a FIFO waits for a writer unless told otherwise.
    let file = File::options().read(true).custom_flags(O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    read_bounded(file)
}

/// The whole of standard input, at most 4 MiB.
///
/// # Errors
/// The system's, or that there is more.
pub(crate) fn read_standard_input() -> io::Result<Vec<u8>> {
    read_bounded(io::stdin().lock())
}

fn read_bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    from.take(MOST_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MOST_BYTES {
        return Err(io::Error::other(format!("larger than {} MiB", MOST_BYTES >> 20)));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn only_a_regular_file_of_some_size_is_read() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "text").unwrap();
        assert_eq!(read_file(&file).unwrap(), b"text");
        File::options().write(true).open(&file).unwrap().set_len(MOST_BYTES + 1).unwrap();
        assert!(read_file(&file).unwrap_err().to_string().contains("4 MiB"));
        let fifo = place.path().join("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        for path in [fifo.as_path(), place.path(), Path::new("/dev/zero")] {
            assert!(read_file(path).is_err(), "{}", path.display());
        }
    }
}
