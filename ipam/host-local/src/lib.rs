//! `host-local`: hands out the addresses of a node's ranges and keeps them in a directory.
//!
//! The directory is an interface of its own, read and written by the reference plugin and by others:
//! `<dataDir>/<network>/<address>` holds `<container ID>\r\n<interface>`, `last_reserved_ip.<n>` holds the
//! address that range set `n` handed out last, and `lock` is locked with flock(2) by whoever looks or
//! changes.

mod add;
mod allocator;
mod audit;
mod barred;
mod boot;
mod check;
mod config;
mod del;
mod error;
mod evidence;
mod exclusions;
mod file;
mod gc;
mod holder;
mod index;
mod listing;
mod lock;
mod lock_holder;
mod making;
mod network;
mod range;
mod range_set;
mod released;
mod requested;
mod resolv_conf;
mod search;
mod stamp;
mod status;
mod store;
mod time;

pub use audit::{Audit, RangeSummary, Reserved, State};
pub use evidence::{Carrier, Evidence};
pub use holder::Holder;
pub use network::Network;
pub use range::Range;
pub use range_set::RangeSet;
pub use store::{Options, Owner, Store};
pub use time::utc;

/// The plugin.
pub const PLUGIN: cni::Plugin = cni::Plugin {
    name: "host-local",
    makes_interface: false,
    add: add::add,
    check: check::check,
    del: del::del,
    undo_add: del::undo_add,
    gc: gc::gc,
    status: status::status,
};

#[cfg(test)]
mod tests;
