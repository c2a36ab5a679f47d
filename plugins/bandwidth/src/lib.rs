//! `bandwidth`: limits what a pod receives and what it sends, after any main plugin that gives the pod one
//! end of a veth pair.
//!
//! Packets *to* the pod (`ingressRate`) are shaped where they leave the host's end of the pair. Packets *from* the pod
//! (`egressRate`) arrive there and are redirected through an ifb device, where they are shaped.
//! `shaping` turns rate and burst into the kernel's numbers, and the crate `limits` decides
//! which limit counts.
//!
//! Names in the kernel are the reference plugin's, so that either can check and remove what the other created.

mod add;
mod check;
mod config;
mod del;
mod effect;
mod error;
mod forward;
mod forwarded;
mod gc;
mod host_end;
mod ifb;
mod kernel;
mod layout;
mod live;
mod record;
mod recorded;
mod redirection;
mod release;
mod shaper;
mod shaping;
mod status;
mod subnets;
mod timing;

pub use effect::NotInEffect;
pub use error::{Error, Result};
pub use live::{Desired, Pair, Pod, ShapedDirection, change_limits, pairs};
pub use subnets::Subnets;

/// The plugin.
pub const PLUGIN: cni::Plugin = cni::Plugin {
    name: "bandwidth",
    makes_interface: false,
    add: |request| Ok(add::add(request)?),
    check: |request| Ok(check::check(request)?),
    del: |request| Ok(del::del(request)?),
    undo_add: |request, _| Ok(del::undo_add(request)?),
    gc: |request| Ok(gc::gc(request)?),
    status: |request| Ok(status::status(request)?),
};
