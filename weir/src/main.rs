//! `weir`: every plugin under its own name, the operator's tool under `weir`.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod closed_output;
mod command;
mod error;
mod folder;
mod human;
mod install;
mod ipam;
mod json;
mod limit;
mod list;
mod output;
mod runtime;
mod table;
mod write_file;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use cni::Plugin;
use dlmalloc::GlobalDlmalloc;

/// musl's own allocator maps each size of object by itself and unmaps it when it is free again: a third of a
/// plugin's system calls.
#[global_allocator]
static ALLOCATOR: GlobalDlmalloc = GlobalDlmalloc;

/// The plugins of this executable; each is installed under its name.
static PLUGINS: &[Plugin] = &[
    loopback::PLUGIN,
    bridge::PLUGIN,
    ptp::PLUGIN,
    host_local::PLUGIN,
    static_ipam::PLUGIN,
    bandwidth::PLUGIN,
    tuning::PLUGIN,
    firewall::PLUGIN,
    portmap::PLUGIN,
];

fn main() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&called).file_name().and_then(OsStr::to_str).unwrap_or_default();
    match Plugin::of_executable(PLUGINS, name) {
        Some(plugin) => cni::main(plugin, PLUGINS),
        None => command::run(),
    }
}
