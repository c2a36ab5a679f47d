//! `loopback`: brings `lo` up in the container's namespace.
//!
//! containerd runs it beside the first network and is not ready without it; Nomad and buildkit run it
//! first in their chains.

mod add;
mod check;
mod del;
mod error;

pub use error::{Error, Result};

use cni::{AddResult, Plugin, Request};

/// The only interface that this plugin works on, whatever `CNI_IFNAME` says.
const LOOPBACK: &str = "lo";

/// The plugin.
pub struct Loopback;

impl Plugin for Loopback {
    const NAME: &'static str = "loopback";
    type Error = Error;

    fn add(request: &Request) -> Result<AddResult> {
        add::add(request)
    }

    fn check(request: &Request) -> Result<()> {
        check::check(request)
    }

    fn del(request: &Request) -> Result<()> {
        del::del(request)
    }

    /// Nothing outlives the namespace.
    fn gc(_: &Request) -> Result<()> {
        Ok(())
    }

    /// Every kernel with namespaces has a loopback interface.
    fn status(_: &Request) -> Result<()> {
        Ok(())
    }
}
