//! A node for each test: namespaces of its own, the installed executable, pods. Configs in [`config`].
//!
//! The suites:
//!
//! | file | subject |
//! |---|---|
//! | `protocol.rs` | environment, standard input, versions, errors, names of the executable |
//! | `loopback.rs` | the plugin `loopback` |
//! | `bridge/` | the plugin `bridge`, without and with IPAM |
//! | `ptp/` | the plugin `ptp`, with limits behind it |
//! | `vlan/` | `vlan`, `vlanTrunk`, `preserveDefaultVlan`: kernel features, ports, gateways |
//! | `masquerade.rs` | `ipMasq` |
//! | `spoof_check.rs` | `macspoofchk` |
//! | `ipam.rs` | `host-local`, and delegation to it inside and outside of the process |
//! | `ipam_files.rs` | `host-local` and names that are not files, lacking file systems, GC beside ADD |
//! | `ipam_operator.rs` | `weir ipam`, taking back after a reboot, full and read-only disks |
//! | `ipam_static.rs` | `static`, beside the reference's, and delegation to it |
//! | `ipam_stress.rs` | `host-local` beside the reference's, 64 at once, also killed at any moment |
//! | `bandwidth/` | the plugin `bandwidth`, and that limits hold |
//! | `firewall/` | the plugin `firewall`: forwarding under the firewalls that nodes have, ingress policies |
//! | `portmap/` | the plugin `portmap`: traffic by every way, whose a port is, beside the reference's |
//! | `tuning/` | the plugin `tuning`: what it changes, what it remembers and restores |
//! | `conflists.rs` | every file of `conf-examples/` through `weir attach`, `check` and `detach` |
//! | `reference/` | the Go plugins before and after ours, on one machine |
//! | `faults.rs` | bad input, failing ADDs, killed plugins: nothing remains; a part of `scripts/faults` |
//! | `rounds/` | a thousand rounds with faults at random: the node shows what it showed before |
//! | `containerd/` | pods of a container runtime: attached, shaped, removed |
//! | `list.rs` | `weir list`: the attachments of a node |
//! | `limit.rs` | `weir limit`: the limits of running pods, shown and changed |
//! | `operator.rs` | `weir install`, the command line |

mod call;
pub mod config;
mod containerd;
pub mod cri;
mod dhcp_server;
mod executable;
mod flow;
mod image;
mod look;
mod node;
mod pod;
mod process;
mod processes;
mod random;
mod snapshot;

pub use call::{Call, Failure, Running};
pub use config::with_prev_result;
pub use containerd::{Containerd, PodSandbox};
pub use dhcp_server::DhcpServer;
pub use executable::{REFERENCE, installed, repository};
pub use flow::{Flow, Flowing, Received};
pub use look::Look;
pub use node::Node;
pub use pod::Pod;
pub use process::Process;
pub use random::Random;
pub use snapshot::Snapshot;

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Runs a witness such as `ip` or `nft` in the current namespace and returns what it printed.
///
/// # Panics
/// When it cannot be run or fails.
pub fn shell(command: &str) -> String {
    run(Command::new("sh").args(["-ec", command]))
}

/// As [`shell`], for a command that prints JSON.
///
/// # Panics
/// When it cannot be run, fails or prints no JSON.
pub fn json(command: &str) -> Value {
    let text = shell(command);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command}: {error}: {text}"))
}

/// How long a test waits for what happens at once on a quiet machine: a busy one may take its time.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `holds`, for what the kernel or another process does by itself.
///
/// # Panics
/// When it does not within [`PATIENCE`].
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("the witness starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}
