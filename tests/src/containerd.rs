//! containerd and runc on a node, with nothing of the machine's own.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use serde_json::Value;
use tonic::Status;

use crate::cri::{Cri, LinuxPodSandboxConfig, PodSandboxConfig, PodSandboxMetadata};
use crate::image;
use crate::pod::Pod;
use crate::processes::Processes;

/// Root, state, config and socket. A tmpfs of the node's own covers `/run`.
const FOLDER: &str = "/run/weir-test";
/// Cgroups are the machine's: those of all pods are below this one.
const CGROUP: &str = "weir-tests";
/// How long a busy machine may take to start a runtime.
const PATIENCE: Duration = Duration::from_secs(60);

/// A container runtime that takes pods, on the node that this thread is on. It ends with this value, and so do
/// its pods.
///
/// There is one at a time on a machine: what is measured with one would be disturbed by another.
pub struct Containerd {
    cri: Cri,
    processes: Processes,
    // In this order: a cgroup can be removed when the processes are gone.
    _cgroups: Cgroups,
}

/// A pod that a runtime made.
pub struct PodSandbox {
    /// The runtime's ID.
    pub id: String,
    /// The address that the runtime reports.
    pub address: String,
    /// The path of its network namespace, for the node and for what runs beside containerd.
    pub netns: String,
    /// The network namespace, held open.
    pub pod: Pod,
}

impl Containerd {
    /// Starts containerd with plugins from `bin` and one network, and waits until it takes pods.
    ///
    /// # Panics
    /// When it does not.
    pub fn start(bin: &Path, conflist: &Value) -> Self {
        let cgroups = Cgroups::claim();
        prepare(bin, conflist);
        let mut runtime = Self {
            cri: Cri::new(&folder("containerd.sock")),
            processes: Processes::new(),
            _cgroups: cgroups,
        };
        runtime.start_daemon();
        runtime.import_pause_image();
        runtime
    }

    fn import_pause_image(&mut self) {
        let archive = image::pause(Path::new(FOLDER));
        self.processes.run(&format!(
            "ctr --address {FOLDER}/containerd.sock --namespace k8s.io images import {} 2>&1",
            archive.display()
        ));
        self.wait("it knows the pause image", |cri| match cri.has_image(image::PAUSE) {
            Ok(true) => Ok(()),
            Ok(false) => Err("it does not".to_owned()),
            Err(status) => Err(status.to_string()),
        });
    }

    /// Starts containerd itself and waits until it says that it is ready.
    fn start_daemon(&mut self) {
        let log = folder("log");
        self.processes.run(&format!(
            "containerd --config {FOLDER}/config.toml >> {} 2>&1 & containerd=$!",
            log.display()
        ));
        self.wait("it is ready", |cri| {
            let conditions = cri.conditions().map_err(|status| status.to_string())?;
            match conditions.iter().find(|condition| !condition.holds) {
                None => Ok(()),
                Some(missing) => Err(format!("{} is not: {}", missing.kind, missing.message)),
            }
        });
    }

    /// Ends containerd and starts it again; the pods go on.
    ///
    /// # Panics
    /// When it does not end, or not start.
    pub fn restart(&mut self) {
        self.processes.run("kill $containerd; wait $containerd");
        self.start_daemon();
    }

    fn wait(&self, what: &str, attempt: impl Fn(&Cri) -> Result<(), String>) {
        let deadline = Instant::now() + PATIENCE;
        while let Err(reason) = attempt(&self.cri) {
            assert!(
                Instant::now() < deadline,
                "containerd: not so far that {what}: {reason}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Returns containerd's log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(folder("log")).unwrap_or_default()
    }

    /// The runtime's interface.
    pub fn cri(&self) -> &Cri {
        &self.cri
    }

    /// Runs a command beside containerd; what it leaves in the background ends with containerd.
    ///
    /// # Panics
    /// When it fails.
    pub fn shell(&mut self, command: &str) -> String {
        self.processes.run(command)
    }

    /// Makes a pod in namespace `default`.
    ///
    /// # Errors
    /// The runtime's reason.
    ///
    /// # Panics
    /// When the runtime does not know the pod that it made.
    pub fn run_pod(&self, name: &str, annotations: &[(&str, &str)]) -> Result<PodSandbox, Status> {
        let text = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
        let id = self.cri.run_pod_sandbox(PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: name.to_owned(),
                uid: format!("uid-of-{name}"),
                namespace: "default".to_owned(),
            }),
            annotations: annotations.iter().map(text).collect::<HashMap<_, _>>(),
            linux: Some(LinuxPodSandboxConfig { cgroup_parent: format!("/{CGROUP}") }),
        })?;
        let (status, netns) = self.cri.pod_sandbox_status(&id)?;
        let address = status.network.expect("a pod that runs has an address").ip;
        Ok(PodSandbox { pod: Pod::open(&id, &netns), id, address, netns })
    }
}

/// The pods' cgroups, which no namespace removes; they are locked meanwhile.
struct Cgroups {
    _lock: File,
}

impl Cgroups {
    /// Waits for those before, and removes what a run left that was killed.
    fn claim() -> Self {
        let lock = File::open("/sys/fs/cgroup").expect("cgroups are mounted");
        lock.lock().expect("a folder can be locked");
        Self::remove();
        Self { _lock: lock }
    }

    /// Empty ones only: the kernel refuses to remove others.
    fn remove() {
        crate::shell(&format!(
            "find /sys/fs/cgroup -depth -path '*/{CGROUP}*' -type d -exec rmdir {{}} + 2> /dev/null || true"
        ));
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        Self::remove();
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

/// A `/run` of the node's own, whose mounts (network namespaces of pods) are seen by containerd and by the test,
/// and the files that containerd reads.
fn prepare(bin: &Path, conflist: &Value) {
    let none = None::<&str>;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none).expect("a tmpfs can be mounted");
    mount(none, "/run", none, MsFlags::MS_SHARED, none).expect("a mount can be shared");
    std::fs::create_dir_all(folder("net.d")).expect("/run is a tmpfs");
    std::fs::write(folder("net.d/10-pods.conflist"), conflist.to_string()).expect("/run is a tmpfs");
    std::fs::write(folder("config.toml"), config(bin)).expect("/run is a tmpfs");
}

fn config(bin: &Path) -> String {
    format!(
        r#"
version = 2
root = "{FOLDER}/root"
state = "{FOLDER}/state"

[grpc]
  address = "{FOLDER}/containerd.sock"
[ttrpc]
  address = "{FOLDER}/containerd.sock.ttrpc"

[plugins."io.containerd.internal.v1.opt"]
  path = "{FOLDER}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # What a machine may lack, or not allow.
  disable_apparmor = true
  restrict_oom_score_adj = true
  disable_tcp_service = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{bin}"
    conf_dir = "{FOLDER}/net.d"
"#,
        pause = image::PAUSE,
        bin = bin.display(),
    )
}
