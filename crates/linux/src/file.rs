//! Files in folders that other users may write to. A FIFO keeps a reader waiting, a device never ends, a
//! symbolic link leads elsewhere: only regular files are opened, without blocking, and read up to a limit.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::libc::{ELOOP, O_CLOEXEC, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_TMPFILE};
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access, linkat};

/// Only the owner reads and writes.
const PRIVATE: u32 = 0o600;

/// How a symbolic link as the last component of a path is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymbolicLinks {
    /// The file that it leads to is opened.
    Follow,
    /// It is refused.
    Refuse,
}

/// Opens the regular file at `path` as `options` say, never waiting for anyone at its other end (open(2),
/// `O_NONBLOCK`, `O_NOFOLLOW`).
///
/// # Errors
/// The system's; `InvalidInput` for a symbolic link that is refused and for everything that is not a regular file.
pub fn open_regular(path: &Path, options: &mut OpenOptions, links: SymbolicLinks) -> io::Result<File> {
    let refused = if links == SymbolicLinks::Refuse { O_NOFOLLOW } else { 0 };
    let flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK | refused;
    let file = options.custom_flags(flags).open(path).map_err(|error| match error.raw_os_error() {
        Some(ELOOP) if refused != 0 => invalid("it is a symbolic link"),
        _ => error,
    })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(invalid("not a regular file")) }
}

/// Reads the regular file at `path` as a whole, in four system calls when it is shorter than 512 bytes.
///
/// # Errors
/// As [`open_regular`]; `FileTooLarge` when there are more than `limit` bytes.
pub fn read_regular(path: &Path, limit: usize, links: SymbolicLinks) -> io::Result<Vec<u8>> {
    const SHORT: usize = 512;
    let mut file = open_regular(path, OpenOptions::new().read(true), links)?;
    let mut content = vec![0; SHORT];
    let length = loop {
        match file.read(&mut content) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            length => break length?,
        }
    };
    content.truncate(length);
    if length == SHORT {
        let rest = (limit + 1).saturating_sub(length) as u64;
        file.take(rest).read_to_end(&mut content)?;
    }
    match content.len() > limit {
        true => Err(io::Error::new(ErrorKind::FileTooLarge, format!("longer than {limit} bytes"))),
        false => Ok(content),
    }
}

/// Makes a new file that only its owner may read and write, whatever the umask.
///
/// # Errors
/// The system's; `AlreadyExists` when something has that name.
pub fn create_new_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(PRIVATE).open(path)?;
    file.set_permissions(Permissions::from_mode(PRIVATE))?;
    Ok(file)
}

/// Makes a new file in the place of one that a killed writer left, or of anything else that can be unlinked. The old one
/// is not written to: it may have a second name by now, or be a link.
///
/// # Errors
/// The system's.
pub fn create_private(path: &Path) -> io::Result<File> {
    match create_new_private(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            create_new_private(path)
        }
        created => created,
    }
}

/// Makes a file with this content, as [`create_private`]. Before a `durable` one gets its name, its content is on the
/// disk.
///
/// # Errors
/// The system's. Then nothing is left at `path`.
pub fn write_private(path: &Path, text: &[u8], durable: bool) -> io::Result<File> {
    let write = || {
        let mut file = create_private(path)?;
        file.write_all(text)?;
        if durable {
            file.sync_all()?;
        }
        Ok(file)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(path);
    })
}

/// Puts a file with this content in the place of the one at `path`, as a whole. It has the name `unfinished` before, also
/// as a whole where the file system has files without names (`O_TMPFILE`): then a killed writer leaves no part of one.
///
/// # Errors
/// The system's. Then nothing is left at `unfinished`.
pub fn replace_private(path: &Path, unfinished: &Path, text: &[u8]) -> io::Result<()> {
    if write_unnamed(unfinished, text).is_err() {
        write_private(unfinished, text, false)?;
    }
    fs::rename(unfinished, path).inspect_err(|_| {
        let _ = fs::remove_file(unfinished);
    })
}

/// Gives a file its name when its content is in it (open(2), `O_TMPFILE`).
fn write_unnamed(path: &Path, text: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(ErrorKind::InvalidInput)?;
    let mut file = OpenOptions::new().write(true).mode(PRIVATE).custom_flags(O_TMPFILE).open(folder)?;
    file.set_permissions(Permissions::from_mode(PRIVATE))?;
    file.write_all(text)?;
    let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(linkat(AT_FDCWD, &*unnamed, AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW)?)
}

/// Tells whether a file could be made in `folder`, as far as that can be told without making one: it is a folder that
/// may be changed, on a file system with room (access(2), statvfs(3); as `test -w` and `df`). Of a folder that is absent,
/// and would be made too, the first above it that exists is asked.
///
/// # Errors
/// As making a file would: `EACCES`, `EROFS`, `ENOSPC`, `ENOTDIR`.
pub fn could_make_file(folder: &Path) -> io::Result<()> {
    let is_absent =
        |made: &io::Result<()>| made.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound);
    folder.ancestors().map(could_make_file_here).find(|made| !is_absent(made)).unwrap_or(Ok(()))
}

fn could_make_file_here(folder: &Path) -> io::Result<()> {
    if !folder.metadata()?.is_dir() {
        return Err(Errno::ENOTDIR.into());
    }
    access(folder, AccessFlags::W_OK | AccessFlags::X_OK)?;
    let system = statvfs(folder)?;
    // File systems that make inodes as they need them count none.
    let is_full = system.blocks_free() == 0 || (system.files() > 0 && system.files_free() == 0);
    if is_full { Err(Errno::ENOSPC.into()) } else { Ok(()) }
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, reason)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    fn make_fifo(path: &Path) {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }

    fn read(path: &Path, links: SymbolicLinks) -> Result<usize, ErrorKind> {
        read_regular(path, 1000, links).map(|content| content.len()).map_err(|error| error.kind())
    }

    #[test]
    fn only_regular_files_are_read_and_only_up_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        make_fifo(&path("fifo"));
        fs::create_dir(path("folder")).unwrap();
        for length in [0, 1, 511, 512, 513, 999, 1000] {
            fs::write(path("file"), vec![b'x'; length]).unwrap();
            assert_eq!(read(&path("file"), SymbolicLinks::Refuse), Ok(length));
        }
        fs::write(path("long"), vec![b'x'; 1001]).unwrap();
        symlink("file", path("link")).unwrap();
        symlink("/dev/zero", path("link-to-device")).unwrap();
        assert_eq!(read(&path("long"), SymbolicLinks::Follow), Err(ErrorKind::FileTooLarge));
        assert_eq!(read(&path("link"), SymbolicLinks::Follow), Ok(1000));
        assert_eq!(read(&path("link"), SymbolicLinks::Refuse), Err(ErrorKind::InvalidInput));
        for other in [path("fifo"), path("folder"), path("link-to-device"), "/dev/zero".into()] {
            assert_eq!(read(&other, SymbolicLinks::Follow), Err(ErrorKind::InvalidInput), "{other:?}");
        }
        assert_eq!(read(&path("absent"), SymbolicLinks::Follow), Err(ErrorKind::NotFound));
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_whatever_has_the_name_of_the_unfinished_one() {
        let folder = tempfile::tempdir().unwrap();
        let (path, unfinished) = (folder.path().join("file"), folder.path().join("unfinished"));
        for (round, make) in
            [|_: &Path| (), |path: &Path| symlink("/dev/zero", path).unwrap(), make_fifo].iter().enumerate()
        {
            make(&unfinished);
            let text = round.to_string();
            replace_private(&path, &unfinished, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, PRIVATE);
            assert!(unfinished.symlink_metadata().is_err());
        }
        // A folder cannot be replaced by a file.
        replace_private(folder.path(), &unfinished, b"").unwrap_err();
        assert!(unfinished.symlink_metadata().is_err());
    }

    #[test]
    fn a_folder_takes_files_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        could_make_file(folder.path()).unwrap();
        could_make_file(&folder.path().join("absent/folder")).unwrap();
        for below in ["file", "file/folder"] {
            let error = could_make_file(&folder.path().join(below)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotADirectory, "{below}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_fifo_is_not_waited_for_when_it_is_written_either() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        make_fifo(&fifo);
        open_regular(&fifo, OpenOptions::new().write(true), SymbolicLinks::Refuse).unwrap_err();
        open_regular(&fifo, OpenOptions::new().read(true).write(true), SymbolicLinks::Refuse).unwrap_err();
    }
}
