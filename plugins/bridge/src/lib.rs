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

use cni::{AddResult, Plugin, Request};

/// The plugin.
pub struct Bridge;

impl Plugin for Bridge {
    const NAME: &'static str = "bridge";
    const MAKES_INTERFACE: bool = true;
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

    fn gc(request: &Request) -> Result<()> {
        gc::gc(request)
    }

    fn status(request: &Request) -> Result<()> {
        status::status(request)
    }
}
