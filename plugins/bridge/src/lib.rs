//! `bridge`: attaches a container to a bridge on the host by a veth pair.
//!
//! Addresses come from the IPAM plugin that the config names; without one the attachment is layer 2 only.

mod add;
mod check;
mod check_vlans;
mod config;
mod del;
mod device;
mod gc;
mod spoof_check;
mod status;
mod vlan;
mod vlan_gateway;

/// The plugin.
pub const PLUGIN: cni::Plugin = cni::Plugin {
    name: "bridge",
    makes_interface: true,
    add: add::add,
    check: |request| Ok(check::check(request)?),
    del: del::del,
    undo_add: |request, _| del::del(request),
    gc: gc::gc,
    status: status::status,
};
