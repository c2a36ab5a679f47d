//! `bridge`: attaches a container to a bridge on the host by a veth pair.
//!
//! Addresses come from the IPAM plugin that the config names; without one the attachment is layer 2 only.

mod add;
mod addressing;
mod check;
mod check_vlans;
mod config;
mod del;
mod device;
mod error;
mod gateway;
mod gc;
mod gc_pairs;
mod host_end;
mod ipam;
mod node_id;
mod pair;
mod pod_end;
mod pod_mac;
mod reference;
mod silent_pair;
mod spoof_check;
mod status;
mod vlan;
mod vlan_gateway;

pub use error::{Error, Result};

/// The plugin.
pub const PLUGIN: cni::Plugin = cni::Plugin {
    name: "bridge",
    makes_interface: true,
    add: |request| Ok(add::add(request)?),
    check: |request| Ok(check::check(request)?),
    del: |request| Ok(del::del(request)?),
    undo_add: |request, _| Ok(del::del(request)?),
    gc: |request| Ok(gc::gc(request)?),
    status: |request| Ok(status::status(request)?),
};
