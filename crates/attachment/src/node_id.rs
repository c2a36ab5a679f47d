//! The node's identity.

use std::path::Path;

use linux::{SymbolicLinks, read_regular};

/// Either file holds 32 hexadecimal digits, with dashes and a line's end at most.
const LONGEST_BYTES: usize = 64;

/// Returns the node's identity: the same after a reboot, another one on another node (`machine-id(5)`).
///
/// A node without a machine ID has the kernel's boot ID, which is another one after a reboot. Without either, all
/// nodes are the same.
pub(crate) fn node_id() -> String {
    ["/etc/machine-id", "/proc/sys/kernel/random/boot_id"].into_iter().find_map(read).unwrap_or_default()
}

/// Returns the identity in this file. An image that many nodes start from has an empty file, or one that says
/// "uninitialized".
fn read(path: &str) -> Option<String> {
    let content = read_regular(Path::new(path), LONGEST_BYTES, SymbolicLinks::Follow).ok()?;
    let id = String::from_utf8(content).ok()?.trim().to_owned();
    (!id.is_empty() && id != "uninitialized").then_some(id)
}
