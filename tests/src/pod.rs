//! A container's network namespace.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::Instant;

use nix::sched::{CloneFlags, setns, unshare};
use serde_json::Value;

use crate::look::Look;

/// A network namespace that lives as long as this value: nothing is mounted, so nothing is left when the
/// test process is killed.
pub struct Pod {
    id: String,
    namespace: File,
}

impl Pod {
    /// A new, empty namespace for the container called `id`.
    ///
    /// # Panics
    /// Without root.
    pub fn new(id: &str) -> Self {
        let namespace = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("tests run as root");
            File::open("/proc/thread-self/ns/net").expect("a thread has a namespace")
        });
        Self { id: id.to_owned(), namespace: namespace.join().expect("a namespace can be made") }
    }

    /// The namespace that a runtime made for the container called `id`, held open.
    ///
    /// # Panics
    /// When there is none.
    pub fn open(id: &str, netns: &str) -> Self {
        let namespace = File::open(netns).unwrap_or_else(|error| panic!("{netns}: {error}"));
        Self { id: id.to_owned(), namespace }
    }

    /// The container's ID.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A path that opens the namespace.
    pub fn netns(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd())
    }

    /// Runs a witness in the namespace and returns what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn shell(&self, command: &str) -> String {
        crate::run(&mut self.command(command))
    }

    /// As [`Pod::shell`], for a command that prints JSON.
    ///
    /// # Panics
    /// When it fails or prints no JSON.
    pub fn json(&self, command: &str) -> Value {
        let text = self.shell(command);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command}: {error}: {text}"))
    }

    /// A shell command in the namespace, to be started by the caller.
    pub fn command(&self, command: &str) -> Command {
        let mut process = Command::new("nsenter");
        process.arg(format!("--net={}", self.netns())).args(["sh", "-ec", command]);
        process
    }

    /// Returns whether a packet of `bytes` payload gets through to `address` and back, out of those that are sent until
    /// [`PATIENCE`](crate::PATIENCE) is over.
    pub fn reaches(&self, address: &str, bytes: u32) -> bool {
        let deadline = Instant::now() + crate::PATIENCE;
        std::iter::repeat_with(|| self.pings(address, bytes))
            .take_while(|_| Instant::now() < deadline)
            .any(|answered| answered)
    }

    /// Returns whether packets get no answer from `address` in two seconds. On a busy machine one may come later: to be used
    /// beside what does get an answer.
    pub fn misses(&self, address: &str) -> bool {
        !self.pings(address, 56)
    }

    fn pings(&self, address: &str, bytes: u32) -> bool {
        let ping = format!("ping -n -c 1 -W 2 -s {bytes} {address}");
        self.command(&ping).output().is_ok_and(|output| output.status.success())
    }

    /// Runs `inside` on a thread in the namespace. Sockets that it opens stay there.
    ///
    /// # Panics
    /// When `inside` does.
    pub fn inside<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        let run = || {
            setns(&self.namespace, CloneFlags::CLONE_NEWNET).expect("tests run as root");
            inside()
        };
        std::thread::scope(|scope| scope.spawn(run).join()).expect("the closure does not panic")
    }
}

impl Look for Pod {
    fn look(&self, command: &str) -> String {
        self.shell(command)
    }
}
