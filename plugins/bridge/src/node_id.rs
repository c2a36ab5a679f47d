//! Which node this is.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

/// `O_NONBLOCK` (uapi/asm-generic/fcntl.h): a FIFO in a file's place is not waited for.
const O_NONBLOCK: i32 = 0o4000;
/// Enough for either file, which hold 32 and 36 hexadecimal digits and dashes.
const LONGEST: u64 = 64;

/// The node's identity: the same after a reboot, another one on another node (`machine-id(5)`).
///
/// A node without a machine ID has the kernel's boot ID, which is another one after a reboot. Without either, all
/// nodes are the same.
pub(crate) fn node_id() -> String {
    ["/etc/machine-id", "/proc/sys/kernel/random/boot_id"].into_iter().find_map(read).unwrap_or_default()
}

/// The identity in this file. An image that many nodes start from has an empty file, or one that says
/// "uninitialized".
fn read(path: &str) -> Option<String> {
    let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    let id = text.trim();
    (!id.is_empty() && id != "uninitialized").then(|| id.to_owned())
}
