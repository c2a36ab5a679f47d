//! `ptp`: a veth pair between the host and a pod, with a route to the pod and no bridge.
//!
//! The host's end has the gateway's address. The pod reaches everything by it, also its own subnet: the other pods of
//! the subnet are behind other pairs.

mod add;
mod check;
mod gc;
mod routes;

use cni::{Answer, Failure, Request};
use linux::Rtnetlink;

use attachment::{Error, Result, Settings};

/// The plugin.
pub const PLUGIN: cni::Plugin = cni::Plugin {
    name: "ptp",
    makes_interface: true,
    add: add::add,
    check: |request| Ok(check::check(request)?),
    del,
    undo_add: |request, _| del(request),
    gc: gc::gc,
    status,
};

fn del(request: &Request) -> Answer<()> {
    attachment::del(request, |_, _| Ok::<_, Failure>(()))
}

fn status(request: &Request) -> Answer<()> {
    let settings = settings(request)?;
    attachment::status(request, &settings, &mut Rtnetlink::open().map_err(Error::from)?)
}

/// Reads the config, which has no keys but those of every plugin.
fn settings(request: &Request) -> Result<Settings> {
    let settings = Settings::read(request)?;
    match settings.ipam {
        Some(_) => Ok(settings),
        None => {
            let problem = "missing; ptp needs an address manager, such as \"host-local\"";
            Err(Failure::invalid_key("ipam.type", problem).into())
        }
    }
}
