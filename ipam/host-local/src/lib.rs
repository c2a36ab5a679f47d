//! `host-local`: allocates addresses from a node's ranges and keeps the reservations in a directory.
//!
//! The directory is an interface of its own, which the reference plugin and others read and write:
//! `<dataDir>/<network>/<address>` holds `<container ID>\r\n<interface>`, `last_reserved_ip.<n>` holds the last address
//! that was allocated from range set `n`, and each reader and writer takes the flock(2) lock on `lock`.

mod add;
mod allocator;
mod audit;
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
mod prefixes;
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
