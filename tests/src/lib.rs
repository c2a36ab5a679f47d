//! A node for each test: namespaces of its own, the installed executable, pods.
//!
//! Which suite holds what:
//!
//! | file | what it is about |
//! |---|---|
//! | `protocol.rs` | environment, standard input, versions, errors, names of the executable |
//! | `loopback.rs` | the plugin `loopback` |
//! | `bridge.rs` | the plugin `bridge`, without and with IPAM |
//! | `masquerade.rs` | `ipMasq` |
//! | `ipam.rs` | `host-local`, and delegation to it inside and outside of the process |
//! | `bandwidth.rs` | the plugin `bandwidth`, and that limits hold |
//! | `conflists.rs` | every file of `conf-examples/` through `weir attach`, `check` and `detach` |
//! | `reference.rs` | the Go plugins before and after ours, on one machine |
//! | `faults.rs` | bad input, failing ADDs, killed plugins: nothing remains |
//! | `operator.rs` | `weir install`, the command line |

mod executable;
mod node;
mod pod;

pub use executable::{REFERENCE, installed, repository};
pub use node::{Call, Failure, Node, with_prev_result};
pub use pod::Pod;

use std::process::Command;

use serde_json::Value;

/// Runs a witness such as `ip` or `nft` in the current namespace and returns what it printed.
///
/// # Panics
/// When it cannot be run or fails.
pub fn shell(command: &str) -> String {
    run(Command::new("sh").args(["-ec", command]))
}

/// As [`shell`], for what prints JSON.
///
/// # Panics
/// When it cannot be run, fails or prints no JSON.
pub fn json(command: &str) -> Value {
    let text = shell(command);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command}: {error}: {text}"))
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
