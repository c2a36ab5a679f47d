//! Network namespaces by path.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;

use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, setns, unshare};

use crate::error::{Error, Result};
use crate::peer::NamespaceNumber;
use crate::rtnetlink::Rtnetlink;

const OWN: &str = "/proc/thread-self/ns/net";

/// An open network namespace. It exists at least as long as this value.
pub struct Namespace {
    file: File,
    path: PathBuf,
    /// The number that the namespace of the socket with this port ID has for this one, once it is known.
    pub(crate) number: Cell<Option<(u32, NamespaceNumber)>>,
}

impl Namespace {
    /// Opens the namespace at `path`, such as `/var/run/netns/pod` or `/proc/PID/ns/net`. Never blocks, whatever the
    /// path leads to, such as a FIFO.
    ///
    /// # Errors
    /// [`Error::OpenNamespace`]; its source is `NotFound` when the namespace is gone.
    /// [`Error::NotANamespace`] for anything but a regular file; an ordinary file is detected by [`Namespace::enter`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let open = || {
            if !fs::metadata(&path)?.is_file() {
                return Ok(None);
            }
            // The path may lead elsewhere by now.
            let file =
                File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(&path)?;
            io::Result::Ok(Some(file))
        };
        match open() {
            Ok(Some(file)) => Ok(Self { file, path, number: Cell::default() }),
            Ok(None) => Err(Error::NotANamespace { path }),
            Err(source) => Err(Error::OpenNamespace { path, source }),
        }
    }

    /// Returns the path that it was opened from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `inside` with this thread in the namespace and returns to the former one. Sockets that `inside` opens
    /// stay in the namespace; files under `/proc/sys/net` are the namespace's own.
    ///
    /// Exits the process with code 1 when the thread cannot return: it would go on to change the host's interfaces in
    /// the pod, or the pod's on the host.
    ///
    /// # Errors
    /// [`Error::NotANamespace`], [`Error::EnterNamespace`], or what `inside` returns.
    pub fn enter<T>(&self, inside: impl FnOnce() -> Result<T>) -> Result<T> {
        let own = Self::own()?;
        self.set()?;
        let outcome = inside();
        if let Err(error) = own.set().or_else(|_| own.set()) {
            // Standard error may be closed.
            let _ = writeln!(io::stderr(), "cannot leave network namespace {}: {error}", self.path.display());
            std::process::exit(1);
        }
        outcome
    }

    /// Opens the calling thread's namespace.
    fn own() -> Result<Self> {
        let path = PathBuf::from(OWN);
        match File::open(&path) {
            Ok(file) => Ok(Self { file, path, number: Cell::default() }),
            Err(source) => Err(Error::OpenNamespace { path, source }),
        }
    }

    fn set(&self) -> Result<()> {
        setns(&self.file, CloneFlags::CLONE_NEWNET).map_err(|errno| match errno {
            Errno::EINVAL => Error::NotANamespace { path: self.path.clone() },
            errno => Error::EnterNamespace { path: self.path.clone(), source: errno.into() },
        })
    }

    /// Opens an rtnetlink socket inside the namespace.
    ///
    /// # Errors
    /// As [`Namespace::enter`] and [`Rtnetlink::open`].
    pub fn rtnetlink(&self) -> Result<Rtnetlink> {
        self.enter(Rtnetlink::open)
    }

    /// Opens the namespace at `path` and an rtnetlink socket inside. Returns `None` when it is gone: the path does
    /// not exist, or is not a namespace, such as a leftover file that nothing is mounted on.
    ///
    /// # Errors
    /// As [`Namespace::open`] and [`Namespace::rtnetlink`] for any other reason.
    pub fn open_if_alive(path: impl AsRef<Path>) -> Result<Option<(Self, Rtnetlink)>> {
        let namespace = match Self::open(path) {
            Err(Error::OpenNamespace { source, .. })
                if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
            {
                return Ok(None);
            }
            Err(Error::NotANamespace { .. }) => return Ok(None),
            namespace => namespace?,
        };
        match namespace.rtnetlink() {
            Err(Error::NotANamespace { .. }) => Ok(None),
            rtnetlink => Ok(Some((namespace, rtnetlink?))),
        }
    }

    /// Returns whether this is the calling thread's namespace.
    ///
    /// # Errors
    /// [`Error::OpenNamespace`] when either cannot be read.
    pub fn is_current(&self) -> Result<bool> {
        let identity = |file: &File| file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        let own = Self::own()?;
        match (identity(&self.file), identity(&own.file)) {
            (Ok(this), Ok(own)) => Ok(this == own),
            (Err(source), _) => Err(Error::OpenNamespace { path: self.path.clone(), source }),
            (_, Err(source)) => Err(Error::OpenNamespace { path: own.path, source }),
        }
    }
}

/// Runs `inside` in a thread with a new network namespace, which ends with the thread and the sockets that were opened in
/// it. As `unshare --net`.
///
/// # Errors
/// [`Error::EnterNamespace`] when there can be no such thread.
pub fn in_new_namespace<T: Send>(inside: impl FnOnce() -> T + Send) -> Result<T> {
    let failed = |source| Error::EnterNamespace { path: PathBuf::from("(new)"), source };
    thread::scope(|scope| {
        let make = || unshare(CloneFlags::CLONE_NEWNET).map(|()| inside());
        let thread = thread::Builder::new().spawn_scoped(scope, make).map_err(failed)?;
        let outcome = thread.join().map_err(|_| failed(io::Error::other("the thread ended early")))?;
        outcome.map_err(|errno| failed(errno.into()))
    })
}

impl AsRawFd for Namespace {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_but_a_namespace_is_refused_without_waiting() {
        let folder = std::env::temp_dir().join(format!("weir-namespace-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let fifo = folder.join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        let outcomes = [fifo.clone(), folder.clone(), "/dev/zero".into()]
            .map(|path| Namespace::open(path).map(drop).unwrap_err());
        let file = folder.join("file");
        fs::write(&file, "").unwrap();
        let entered = Namespace::open(&file).and_then(|namespace| namespace.rtnetlink()).map(drop);
        fs::remove_dir_all(&folder).unwrap();
        assert!(made.unwrap().success());
        for outcome in outcomes.into_iter().chain(entered.err()) {
            assert!(matches!(outcome, Error::NotANamespace { .. }), "{outcome}");
        }
    }
}
