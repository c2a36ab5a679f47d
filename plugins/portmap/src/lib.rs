//! `portmap`: forwards ports of the host to a pod, with nf_tables.
//!
//! What `nft list table inet weir-portmap` shows is in `table.rs`. A forwarded port is an element of a map there; the
//! rules are the same with one port and with ten thousand.

mod add;
mod check;
mod conditions;
mod config;
mod del;
mod forward;
mod gc;
mod holders;
mod localnet;
mod record;
mod reference;
mod stale;
mod status;
mod table;

/// The plugin.
pub const PLUGIN: cni::Plugin = cni::Plugin {
    name: "portmap",
    makes_interface: false,
    add: |request| Ok(add::add(request)?),
    check: |request| Ok(check::check(request)?),
    del: |request| Ok(del::del(request)?),
    undo_add: |request, _| Ok(del::del(request)?),
    gc: |request| Ok(gc::gc(request)?),
    status: status::status,
};
