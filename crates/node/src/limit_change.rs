//! Changing the limits of a running pod.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use bandwidth::{Desired, Pod};

use crate::error::{Error, Result};
use crate::node::Node;
use crate::target::Target;

/// The lock on the limits of this node, held while a record is read, changed and written. The kernel releases it with
/// the process.
const LOCK: &str = "/run/weir/limit.lock";

/// The outcome of [`change_limits`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitChange {
    /// The host's end of the pod's pair.
    pub host_interface: String,
    /// Whether anything had to be changed.
    pub is_changed: bool,
}

/// Changes the limits of the pod that `target` names. It takes effect at once, and lasts as long as the pod. Processes
/// that change limits at the same time wait for each other.
///
/// # Errors
/// When the lock cannot be taken; as [`Node::find_one`]; [`Error::Bandwidth`] as [`bandwidth::change_limits`].
pub fn change_limits(target: &Target, ingress: Desired, egress: Desired) -> Result<LimitChange> {
    let _lock = lock(Path::new(LOCK)).map_err(Error::io(format_args!("lock {LOCK}")))?;
    let mut node = Node::open()?;
    let pair = node.find_one(target)?;
    let attachment = pair.attachment.as_ref();
    let subnets = attachment.and_then(|attachment| node.results.subnets(attachment));
    let pod = Pod { host_end: &pair.host_end, attachment, subnets: subnets.as_ref() };
    let is_changed = bandwidth::change_limits(&mut node.host, &pod, ingress, egress)?;
    Ok(LimitChange { host_interface: pair.host_end.name, is_changed })
}

fn lock(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = File::options().create(true).append(true).open(path)?;
    file.lock()?;
    Ok(file)
}
