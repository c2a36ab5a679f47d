//! `loopback`: brings `lo` up in the container's namespace.
//!
//! containerd runs it beside the first network and is not ready without it; Nomad and buildkit run it
//! first in their chains.

mod add;
mod check;
mod del;
mod error;

/// The only interface that this plugin works on, whatever `CNI_IFNAME` says.
const LOOPBACK: &str = "lo";

/// The plugin. Nothing of it outlives the namespace, and every kernel with namespaces has a loopback interface.
pub const PLUGIN: cni::Plugin = cni::Plugin {
    name: "loopback",
    makes_interface: false,
    add: |request| Ok(add::add(request)?),
    check: |request| Ok(check::check(request)?),
    del: |request| Ok(del::del(request)?),
    undo_add: |request, _| Ok(del::del(request)?),
    gc: |_| Ok(()),
    status: |_| Ok(()),
};
