//! A host of its own for one test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::call::Call;
use crate::executable::installed;
use crate::look::Look;
use crate::pod::Pod;

/// The thread's own network and mount namespace, with an empty `/var/lib`, `/mnt` and `/run/cni`. Processes
/// that the thread starts are in it; it ends with the thread and the last of them, whatever happens to the
/// test.
pub struct Node {
    bin: PathBuf,
    paths: Vec<PathBuf>,
}

impl Node {
    /// Moves the calling thread to a new node with weir installed.
    ///
    /// # Panics
    /// Without root.
    #[expect(clippy::new_without_default, reason = "making a node moves the thread")]
    pub fn new() -> Self {
        let bin = installed().to_owned();
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("tests run as root");
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
            .expect("mounts can be made private");
        std::fs::create_dir_all("/run/cni").expect("/run can be written to");
        for place in ["/var/lib", "/mnt", "/run/cni"] {
            mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::empty(), none)
                .expect("a tmpfs can be mounted");
        }
        crate::shell("ip link set lo up");
        Self { paths: vec![bin.clone()], bin }
    }

    /// The folder with weir under all its names.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// Executes plugins from `folder` first, such as [`crate::REFERENCE`].
    pub fn prefer(mut self, folder: impl Into<PathBuf>) -> Self {
        self.paths.insert(0, folder.into());
        self
    }

    /// A file of the test's own, in `/mnt`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = Path::new("/mnt").join(name);
        std::fs::write(&file, text).expect("/mnt is a tmpfs");
        file
    }

    /// Puts a plugin of the test's own, a shell script, before the others on `CNI_PATH`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn with_script(self, name: &str, script: &str) -> Self {
        const FOLDER: &str = "/mnt/plugins";
        let text = self.file("script", &format!("#!/bin/sh\n{script}\n"));
        // A file that this process writes may be open for writing in a child that another test forks at that
        // moment, and cannot be executed then.
        self.look(&format!("mkdir -p {FOLDER}; install -m 755 {} {FOLDER}/{name}", text.display()));
        if self.paths.iter().any(|path| path == Path::new(FOLDER)) { self } else { self.prefer(FOLDER) }
    }

    /// `CNI_PATH`.
    pub fn path(&self) -> String {
        self.paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(":")
    }

    /// A call of `plugin` for interface `eth0` of `pod`.
    pub fn call(&self, plugin: &str, pod: &Pod) -> Call {
        let holds = |folder: &&PathBuf| folder.join(plugin).is_file();
        let folder = self.paths.iter().find(holds);
        self.call_in(folder.unwrap_or_else(|| panic!("no plugin {plugin} in {}", self.path())), plugin, pod)
    }

    /// As [`Node::call`], with the executable of this folder.
    pub fn call_in(&self, folder: &Path, plugin: &str, pod: &Pod) -> Call {
        Call {
            executable: folder.join(plugin),
            arguments: Vec::new(),
            variables: vec![
                ("CNI_CONTAINERID", pod.id().to_owned()),
                ("CNI_NETNS", pod.netns()),
                ("CNI_IFNAME", "eth0".to_owned()),
                ("CNI_PATH", self.path()),
            ],
        }
    }

    /// The operator's command line with these arguments, words separated by spaces.
    pub fn weir(&self, arguments: &str) -> Output {
        Command::new(self.bin.join("weir"))
            .args(arguments.split_whitespace())
            .env("CNI_PATH", self.path())
            .output()
            .expect("weir starts")
    }

    /// Everything that the kernel and the disk show of this node: to be compared before and after.
    ///
    /// Values that change by themselves are left out: numbers of links, counters, carrier, what `host-local` keeps beside
    /// the reservations.
    pub fn fingerprint(&self) -> String {
        self.look(
            "ip -o -d link | sed 's/^[0-9]*: //; s/NO-CARRIER,//; s/,LOWER_UP//; s/ state [A-Z]*//; s/ promiscuity.*//'; \
             ip -o addr show scope global | sed 's/^[0-9]*: //'; \
             ip rule; ip -6 rule; tc qdisc | sed '/noqueue/d'; nft -s list ruleset | sed '/^table netdev weir {$/{N;N;/\\n}$/d}'; \
             find /var/lib /run/cni -type f ! -name 'last_reserved_ip.*' ! -name lock ! -name .index | sort",
        )
    }
}

impl Look for Node {
    fn look(&self, command: &str) -> String {
        crate::shell(command)
    }
}
