//! The network namespaces that exist, as far as a process can find them.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::namespace::Namespace;

/// Where tools and runtimes mount namespaces, so that they stay without a process.
const FOLDERS: [&str; 3] = ["/run/netns", "/var/run/netns", "/run/docker/netns"];
const OWN: &str = "/proc/self/ns/net";

/// Namespaces, each once, and what could not be looked at.
pub struct Existing {
    /// The namespaces, that of this process among them.
    pub namespaces: Vec<Namespace>,
    /// Why there may be more.
    pub failures: Vec<Error>,
}

impl Namespace {
    /// Every network namespace that is mounted in `/run/netns` or `/run/docker/netns`, that a thread is in, or
    /// that a process has open. As `lsns --type net` and more.
    ///
    /// One that is only mounted elsewhere, or in a mount namespace of its own, is not found; neither is one that
    /// only a process has open which this one may not look into (`ptrace(2)`, "access mode checking"). A thread
    /// of such a process is no failure when it is in a namespace that was found otherwise.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn existing() -> Result<Existing> {
        let failed = |source| Error::OpenNamespace { path: OWN.into(), source };
        // Every namespace is a file of one file system of the kernel's.
        let device = fs::metadata(OWN).map_err(failed)?.dev();
        let mut search = Search {
            device,
            known: HashSet::new(),
            identities: HashSet::new(),
            denied: Vec::new(),
            namespaces: Vec::new(),
            failures: Vec::new(),
        };
        for path in FOLDERS.iter().flat_map(|folder| names(Path::new(folder))) {
            search.visit(path);
        }
        let is_process = |path: &PathBuf| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.parse::<u32>().is_ok())
        };
        for process in fs::read_dir("/proc").map_err(failed)?.flatten().map(|entry| entry.path()) {
            if !is_process(&process) {
                continue;
            }
            for thread in names(&process.join("task")) {
                search.visit_thread(&thread);
            }
            let is_namespace = |path: &PathBuf| {
                fs::read_link(path)
                    .is_ok_and(|target| target.as_os_str().as_encoded_bytes().starts_with(b"net:["))
            };
            for open in names(&process.join("fd")).filter(is_namespace) {
                search.visit(open);
            }
        }
        for (identity, failure) in std::mem::take(&mut search.denied) {
            if !search.identities.contains(&identity) {
                search.failures.push(failure);
            }
        }
        Ok(Existing { namespaces: search.namespaces, failures: search.failures })
    }
}

struct Search {
    device: u64,
    known: HashSet<u64>,
    /// What [`identity`] says of the namespaces that threads are in.
    identities: HashSet<u64>,
    /// Threads that may not be looked into.
    denied: Vec<(u64, Error)>,
    namespaces: Vec<Namespace>,
    failures: Vec<Error>,
}

impl Search {
    fn visit_thread(&mut self, thread: &Path) {
        let path = thread.join("ns/net");
        match (fs::metadata(&path), identity(thread)) {
            (Err(source), Some(identity)) if source.kind() == io::ErrorKind::PermissionDenied => {
                self.denied.push((identity, Error::OpenNamespace { path, source }));
            }
            (_, identity) => {
                self.identities.extend(identity);
                self.visit(path);
            }
        }
    }

    fn visit(&mut self, path: PathBuf) {
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if is_gone(&error) => return,
            Err(source) => return self.failures.push(Error::OpenNamespace { path, source }),
        };
        // A file that nothing is mounted on any more is no namespace.
        if metadata.dev() != self.device || !self.known.insert(metadata.ino()) {
            return;
        }
        match Namespace::open(&path) {
            Ok(namespace) => self.namespaces.push(namespace),
            Err(Error::OpenNamespace { source, .. }) if is_gone(&source) => {
                self.known.remove(&metadata.ino());
            }
            Err(error) => self.failures.push(error),
        }
    }
}

/// A number that threads of one namespace have in common, and which needs no permission: the inode of a file that
/// the kernel shows to each namespace.
fn identity(thread: &Path) -> Option<u64> {
    fs::metadata(thread.join("net/dev")).ok().map(|metadata| metadata.ino())
}

/// A process that ended meanwhile is `ESRCH` in some of its files.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(nix::libc::ESRCH)
}

fn names(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_namespace_exists_once() {
        let existing = Namespace::existing().unwrap();
        let own = existing.namespaces.iter().filter(|namespace| namespace.is_current().unwrap());
        assert_eq!(own.count(), 1);
    }
}
