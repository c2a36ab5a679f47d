//! `static`: assigns the addresses that the config, the runtime or the caller names.
//!
//! It keeps nothing: DEL and GC have nothing to do, and whether another container has the address is not its to know.

mod check;
mod config;

use cni::{Failure, code};

/// The plugin. What ADD answers follows from the config alone, and STATUS tells whether it does.
pub const PLUGIN: cni::Plugin = cni::Plugin {
    name: "static",
    makes_interface: false,
    add: config::assigned,
    check: check::check,
    del: |_| Ok(()),
    undo_add: |_, _| Ok(()),
    gc: |_| Ok(()),
    status: |request| {
        let unready = |failure| Failure { code: code::NOT_AVAILABLE, ..failure };
        config::assigned(request).map(drop).map_err(unready)
    },
};
