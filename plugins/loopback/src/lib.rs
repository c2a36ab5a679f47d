//! `loopback`: brings `lo` up in the container's namespace.
//!
//! containerd runs it beside the first network and is not ready without it; Nomad and buildkit run it
//! first in their chains.

mod add;
mod check;

use cni::{Failure, code};

/// The only interface that this plugin works on, whatever `CNI_IFNAME` says.
const LOOPBACK: &str = "lo";

/// The plugin. Nothing of it outlives the namespace, and every kernel with namespaces has a loopback interface.
///
/// DEL leaves `lo` up. The namespace at `CNI_NETNS` may be another container's by now, and nothing in it tells; that of
/// this container goes with all that is in it. The reference takes `lo` down.
pub const PLUGIN: cni::Plugin = cni::Plugin {
    name: "loopback",
    makes_interface: false,
    add: |request| Ok(add::add(request)?),
    check: |request| Ok(check::check(request)?),
    del: |_| Ok(()),
    undo_add: |_, _| Ok(()),
    gc: |_| Ok(()),
    status: |_| Ok(()),
};

/// The namespace has no `lo`.
fn missing(netns: &str) -> Failure {
    Failure::new(code::INTERNAL, format!("network namespace {netns} has no interface {LOOPBACK}"))
}
