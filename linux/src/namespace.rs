//! Network namespaces by path.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};

use crate::error::{Error, Result};
use crate::rtnetlink::Rtnetlink;

const OWN: &str = "/proc/thread-self/ns/net";

/// An open network namespace. It stays alive as long as this value does.
pub struct Namespace {
    file: File,
    path: PathBuf,
}

impl Namespace {
    /// Opens the namespace at `path`, such as `/var/run/netns/pod` or `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// [`Error::OpenNamespace`]; its source is `NotFound` when the namespace is gone.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        match File::open(&path) {
            Ok(file) => Ok(Self { file, path }),
            Err(source) => Err(Error::OpenNamespace { path, source }),
        }
    }

    /// Where it was opened from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `inside` with this thread in the namespace and returns to the former one. Sockets that are
    /// opened inside stay in the namespace; files under `/proc/sys/net` are the namespace's own.
    ///
    /// # Errors
    /// [`Error::NotANamespace`], [`Error::EnterNamespace`] (also for the way back), or what `inside`
    /// returns.
    pub fn enter<T>(&self, inside: impl FnOnce() -> Result<T>) -> Result<T> {
        let own = Self::open(OWN)?;
        self.set()?;
        let outcome = inside();
        own.set()?;
        outcome
    }

    fn set(&self) -> Result<()> {
        setns(&self.file, CloneFlags::CLONE_NEWNET).map_err(|errno| match errno {
            Errno::EINVAL => Error::NotANamespace { path: self.path.clone() },
            errno => Error::EnterNamespace { path: self.path.clone(), source: errno.into() },
        })
    }

    /// An rtnetlink socket inside the namespace.
    ///
    /// # Errors
    /// As [`Namespace::enter`] and [`Rtnetlink::open`].
    pub fn rtnetlink(&self) -> Result<Rtnetlink> {
        self.enter(Rtnetlink::open)
    }

    /// An rtnetlink socket inside the namespace at `path`, or `None` when that is gone: the path does not exist
    /// any more, or it is a leftover file that nothing is mounted on.
    ///
    /// # Errors
    /// As [`Namespace::open`] and [`Namespace::rtnetlink`], for any other reason.
    pub fn rtnetlink_if_alive(path: impl AsRef<Path>) -> Result<Option<Rtnetlink>> {
        let namespace = match Self::open(path) {
            Err(Error::OpenNamespace { source, .. })
                if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
            {
                return Ok(None);
            }
            namespace => namespace?,
        };
        match namespace.rtnetlink() {
            Err(Error::NotANamespace { .. }) => Ok(None),
            rtnetlink => rtnetlink.map(Some),
        }
    }

    /// Whether this is the namespace that the calling thread is in.
    ///
    /// # Errors
    /// [`Error::OpenNamespace`] when either cannot be looked at.
    pub fn is_current(&self) -> Result<bool> {
        let identity = |file: &File| file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        let own = Self::open(OWN)?;
        match (identity(&self.file), identity(&own.file)) {
            (Ok(this), Ok(own)) => Ok(this == own),
            (Err(source), _) => Err(Error::OpenNamespace { path: self.path.clone(), source }),
            (_, Err(source)) => Err(Error::OpenNamespace { path: own.path, source }),
        }
    }
}

impl AsRawFd for Namespace {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}
