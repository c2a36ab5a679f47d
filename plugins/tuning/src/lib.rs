//! `tuning`: changes the interface that another plugin gave the pod, and kernel parameters of its network namespace.
//!
//! What was there before is kept in a file of the reference's format, so that either implementation's DEL restores what
//! the other one changed.

mod add;
mod allowlist;
mod check;
mod config;
mod del;
mod gc;
mod record;
mod status;
mod sysctls;
mod target;
mod tuning;

/// The plugin.
pub const PLUGIN: cni::Plugin = cni::Plugin {
    name: "tuning",
    makes_interface: false,
    add: |request| Ok(add::add(request)?),
    check: |request| Ok(check::check(request)?),
    del: |request| Ok(del::del(request)?),
    undo_add: |_, _| Ok(add::undo_last()?),
    gc: |request| Ok(gc::gc(request)?),
    status: status::status,
};
