//! Files in a folder that may belong to another user.
//!
//! The folder's owner can create symbolic links and exchange names at any moment, and weir mostly runs as root. So the
//! folder is opened once and names are looked up in that descriptor; a new file gets a random name that must not exist;
//! owner and permissions are set on the descriptor; and the rename at the end follows no link.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::{UnlinkatFlags, geteuid, linkat, unlinkat};

/// Permission bits, without set-user-ID, set-group-ID and sticky.
const PERMISSIONS: u32 = 0o777;
/// The bits that let group and others create and rename.
const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// An open folder.
pub(crate) struct Folder {
    descriptor: OwnedFd,
}

/// The permissions of a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Those of the file that is replaced and, for root, its owner; without such a file, `rw-rw-rw-` less the umask.
    Kept,
    /// These.
    Exactly(u32),
}

/// The kind of file that a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Regular,
    SymbolicLink,
    Device,
    /// A FIFO, a socket, a folder.
    Other,
}

impl Folder {
    /// Opens the folder at `path`.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self { descriptor: open(path, flags, Mode::empty())? })
    }

    /// Opens the folder of the file at `path`, which need not exist, and returns it with the file's name.
    ///
    /// # Errors
    /// The system's; `InvalidInput` when `path` does not end with a name.
    pub fn of(path: &Path) -> io::Result<(Self, &OsStr)> {
        let name = path.file_name().ok_or_else(|| {
            io::Error::new(ErrorKind::InvalidInput, "the path does not end with a file name")
        })?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        Ok((Self::open(parent.unwrap_or_else(|| Path::new(".")))?, name))
    }

    /// Creates a file with the content that `fill` writes, and renames it to `name`: readers find the former file or
    /// the whole new one. A symbolic link with that name is replaced, not followed.
    ///
    /// # Errors
    /// The system's, or what `fill` returns; then the name is as it was.
    pub fn replace(
        &self,
        name: &OsStr,
        access: Access,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<()> {
        let former = match access {
            Access::Kept => self.stat(name)?.filter(|stat| kind(stat) == Kind::Regular),
            Access::Exactly(_) => None,
        };
        let may_be_read_early = access == Access::Kept && former.is_none();
        let (temporary, mut file) = self.create(if may_be_read_early { 0o666 } else { 0o600 })?;
        let made = fill(&mut file).and_then(|()| match (access, former) {
            (Access::Exactly(mode), _) => file.set_permissions(Permissions::from_mode(mode)),
            (Access::Kept, Some(former)) => keep(&file, &former),
            (Access::Kept, None) => Ok(()),
        });
        self.finish(made, &temporary, name)
    }

    /// Gives the file `name` a second name, which is replaced if it exists. As `ln -f`.
    ///
    /// # Errors
    /// The system's; then the second name is as it was.
    pub fn link(&self, name: &OsStr, second: &OsStr) -> io::Result<()> {
        let temporary = self.with_free_name(|temporary| {
            linkat(&self.descriptor, name, &self.descriptor, temporary, AtFlags::empty())
        })?;
        self.finish(Ok(()), &temporary.0, second)
    }

    /// Returns the kind of file that has this name; none when there is none.
    ///
    /// # Errors
    /// The system's.
    pub fn kind_of(&self, name: &OsStr) -> io::Result<Option<Kind>> {
        Ok(self.stat(name)?.map(|stat| kind(&stat)))
    }

    /// Tells whether only root or this user can have created `name`.
    ///
    /// # Errors
    /// The system's.
    pub fn vouches_for(&self, name: &OsStr) -> io::Result<bool> {
        let own = geteuid().as_raw();
        let is_trusted = |uid: u32| uid == 0 || uid == own;
        let folder = fstatat(&self.descriptor, "", AtFlags::AT_EMPTY_PATH)?;
        let is_closed = folder.st_mode & WRITABLE_BY_OTHERS == 0 || folder.st_mode & STICKY != 0;
        let link = self.stat(name)?;
        Ok(is_trusted(folder.st_uid) && is_closed && link.is_some_and(|link| is_trusted(link.st_uid)))
    }

    /// Returns the target of the symbolic link `name`. As `readlink`.
    ///
    /// # Errors
    /// The system's.
    pub fn read_link(&self, name: &OsStr) -> io::Result<OsString> {
        Ok(readlinkat(&self.descriptor, name)?)
    }

    /// Tells whether the folder is in `/proc`, where links lead to the open files of processes.
    ///
    /// # Errors
    /// The system's.
    pub fn is_of_proc(&self) -> io::Result<bool> {
        Ok(fstatfs(&self.descriptor)?.filesystem_type() == PROC_SUPER_MAGIC)
    }

    /// Opens the device, FIFO or the like `name` for writing; waits for a reader as `cp` does.
    ///
    /// # Errors
    /// The system's; also when the name has become a regular file or a link.
    pub fn open_special(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = File::from(openat(&self.descriptor, name, flags, Mode::empty())?);
        if file.metadata()?.is_file() {
            return Err(io::Error::other("it has just become a regular file"));
        }
        Ok(file)
    }

    /// Writes the names to the disk (fsync(2)).
    ///
    /// # Errors
    /// The system's.
    pub fn sync(&self) -> io::Result<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        File::from(openat(&self.descriptor, ".", flags, Mode::empty())?).sync_all()
    }

    fn stat(&self, name: &OsStr) -> io::Result<Option<FileStat>> {
        match fstatat(&self.descriptor, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => Ok(None),
            stat => Ok(Some(stat?)),
        }
    }

    fn create(&self, mode: u32) -> io::Result<(OsString, File)> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(mode);
        let (name, descriptor) =
            self.with_free_name(|temporary| openat(&self.descriptor, temporary, flags, mode))?;
        Ok((name, descriptor.into()))
    }

    /// Tries random names until `make` finds one free.
    fn with_free_name<T>(&self, make: impl Fn(&OsStr) -> nix::Result<T>) -> io::Result<(OsString, T)> {
        const TRIES: u64 = 8;
        for attempt in 0..TRIES {
            let name = OsString::from(format!(".weir-{:016x}.tmp", RandomState::new().hash_one(attempt)));
            match make(&name) {
                Err(Errno::EEXIST) => {}
                made => return Ok((name, made?)),
            }
        }
        Err(Errno::EEXIST.into())
    }

    /// Renames a file that was made, or deletes it.
    fn finish(&self, made: io::Result<()>, temporary: &OsStr, name: &OsStr) -> io::Result<()> {
        let renamed = made.and_then(|()| Ok(renameat(&self.descriptor, temporary, &self.descriptor, name)?));
        // After a rename onto another link of the same file both names are still there. Otherwise there is nothing to
        // remove, or the first error is the one to report.
        unlinkat(&self.descriptor, temporary, UnlinkatFlags::NoRemoveDir).ok();
        renamed
    }
}

/// Gives a file the owner and permissions of the former one. The owner comes first: changing it clears permission bits.
fn keep(file: &File, former: &FileStat) -> io::Result<()> {
    let owner = |metadata: &Metadata| (metadata.uid(), metadata.gid());
    if geteuid().is_root() && owner(&file.metadata()?) != (former.st_uid, former.st_gid) {
        fchown(file, Some(former.st_uid), Some(former.st_gid))?;
    }
    file.set_permissions(Permissions::from_mode(former.st_mode & PERMISSIONS))
}

fn kind(stat: &FileStat) -> Kind {
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => Kind::Regular,
        SFlag::S_IFLNK => Kind::SymbolicLink,
        SFlag::S_IFCHR | SFlag::S_IFBLK => Kind::Device,
        _ => Kind::Other,
    }
}
