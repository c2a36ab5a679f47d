//! Search for the network namespaces of a node.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::namespace::Namespace;

/// Directories in which tools and runtimes mount namespaces, so that they stay without a process.
const FOLDERS: [&str; 3] = ["/run/netns", "/var/run/netns", "/run/docker/netns"];
const OWN: &str = "/proc/self/ns/net";
/// Paths kept for each namespace. It is opened by the first path that still leads to it: a process may have ended
/// meanwhile.
const PATHS: usize = 8;

impl Namespace {
    /// Calls `visit` once for each network namespace that is mounted in `/run/netns` or `/run/docker/netns`, that a
    /// thread is in, or that a process has open, including this process's own. The second argument says whether a
    /// process is in it. One namespace is open at a time. As `lsns --type net` and more.
    ///
    /// A namespace that is only mounted elsewhere, or in another mount namespace, is not found. Neither is one that
    /// is only held open by a process that this one may not inspect (`ptrace(2)`, "access mode checking"). A thread
    /// of such a process is not an error if its namespace was found otherwise.
    ///
    /// Returns the errors of everything that could not be inspected.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn visit_existing(mut visit: impl FnMut(&Self, bool)) -> Result<Vec<Error>> {
        let failed = |source| Error::OpenNamespace { path: OWN.into(), source };
        // All namespaces are files of one kernel file system.
        let mut search = Search::new(fs::metadata(OWN).map_err(failed)?.dev());
        for path in FOLDERS.iter().flat_map(|folder| names(Path::new(folder))) {
            search.note(path);
        }
        let is_process = |path: &PathBuf| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.parse::<u32>().is_ok())
        };
        for process in fs::read_dir("/proc").map_err(failed)?.flatten().map(|entry| entry.path()) {
            if !is_process(&process) {
                continue;
            }
            for thread in names(&process.join("task")) {
                search.note_thread(&thread);
            }
            let is_namespace = |path: &PathBuf| {
                fs::read_link(path)
                    .is_ok_and(|target| target.as_os_str().as_encoded_bytes().starts_with(b"net:["))
            };
            for open in names(&process.join("fd")).filter(is_namespace) {
                search.note(open);
            }
        }
        Ok(search.visit(&mut visit))
    }
}

struct Search {
    device: u64,
    /// By inode, in the order in which they were found.
    found: Vec<Found>,
    places: HashMap<u64, usize>,
    /// The [`identity`] of each namespace that a thread is in.
    identities: HashSet<u64>,
    /// Threads that this process may not inspect.
    denied: Vec<(u64, Error)>,
    failures: Vec<Error>,
}

struct Found {
    inode: u64,
    paths: Vec<PathBuf>,
    has_process: bool,
}

impl Search {
    fn new(device: u64) -> Self {
        Self {
            device,
            found: Vec::new(),
            places: HashMap::new(),
            identities: HashSet::new(),
            denied: Vec::new(),
            failures: Vec::new(),
        }
    }

    fn note_thread(&mut self, thread: &Path) {
        let path = thread.join("ns/net");
        match (fs::metadata(&path), identity(thread)) {
            (Err(source), Some(identity)) if source.kind() == io::ErrorKind::PermissionDenied => {
                self.denied.push((identity, Error::OpenNamespace { path, source }));
            }
            (_, identity) => {
                self.identities.extend(identity);
                if let Some(found) = self.note(path) {
                    found.has_process = true;
                }
            }
        }
    }

    /// Notes the namespace that `path` leads to, if it does.
    fn note(&mut self, path: PathBuf) -> Option<&mut Found> {
        let inode = match inode(&path, self.device) {
            Ok(inode) => inode?,
            Err(source) => {
                self.failures.push(Error::OpenNamespace { path, source });
                return None;
            }
        };
        let place = *self.places.entry(inode).or_insert(self.found.len());
        if place == self.found.len() {
            self.found.push(Found { inode, paths: Vec::new(), has_process: false });
        }
        let found = &mut self.found[place];
        if found.paths.len() < PATHS {
            found.paths.push(path);
        }
        Some(found)
    }

    fn visit(mut self, visit: &mut impl FnMut(&Namespace, bool)) -> Vec<Error> {
        for (identity, failure) in self.denied {
            if !self.identities.contains(&identity) {
                self.failures.push(failure);
            }
        }
        for found in self.found {
            match found.open(self.device) {
                Ok(Some(namespace)) => visit(&namespace, found.has_process),
                Ok(None) => {}
                Err(error) => self.failures.push(error),
            }
        }
        self.failures
    }
}

impl Found {
    /// Opens the namespace; `None` when it is gone.
    fn open(&self, device: u64) -> Result<Option<Namespace>> {
        for path in &self.paths {
            match Namespace::open(path) {
                // The path may lead to another namespace by now.
                Ok(namespace) if inode(path, device).is_ok_and(|inode| inode == Some(self.inode)) => {
                    return Ok(Some(namespace));
                }
                Ok(_) | Err(Error::NotANamespace { .. }) => {}
                Err(Error::OpenNamespace { source, .. }) if is_gone(&source) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// Returns the inode of the namespace that `path` leads to; `None` when it is gone, or nothing is mounted on the
/// file.
fn inode(path: &Path, device: u64) -> io::Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok((metadata.dev() == device).then(|| metadata.ino())),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns a number that all threads of a namespace share and that needs no permission to read: the inode of a file
/// that the kernel shows to each namespace.
fn identity(thread: &Path) -> Option<u64> {
    fs::metadata(thread.join("net/dev")).ok().map(|metadata| metadata.ino())
}

/// Returns whether the error says that a process has ended: some of its files then give `ESRCH`.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(nix::libc::ESRCH)
}

fn names(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use nix::sched::{CloneFlags, unshare};

    use super::*;

    fn is_own(namespace: &Namespace) -> bool {
        namespace.is_current().unwrap()
    }

    #[test]
    fn the_own_namespace_is_visited_once_and_has_a_process() {
        let mut own = Vec::new();
        Namespace::visit_existing(|namespace, has_process| {
            own.extend(is_own(namespace).then_some(has_process));
        })
        .unwrap();
        assert_eq!(own, [true]);
    }

    #[test]
    fn many_namespaces_need_few_descriptors_and_one_that_is_only_open_has_no_process() {
        const MANY: usize = 40;
        let open = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            fs::File::open("/proc/thread-self/ns/net").unwrap()
        };
        let files: Vec<_> = (0..MANY).map(|_| std::thread::spawn(open).join().unwrap()).collect();
        let inodes: HashSet<_> = files.iter().map(|file| file.metadata().unwrap().ino()).collect();
        let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
        let (before, mut most, mut empty) = (descriptors(), 0, 0);
        Namespace::visit_existing(|namespace, has_process| {
            most = most.max(descriptors());
            let inode = fs::metadata(namespace.path()).map(|metadata| metadata.ino());
            empty += usize::from(inode.is_ok_and(|inode| inodes.contains(&inode)) && !has_process);
        })
        .unwrap();
        // Other tests of this process open some, too.
        assert!(most < before + MANY / 2, "{most} descriptors, {before} before");
        assert_eq!(empty, MANY);
    }
}
