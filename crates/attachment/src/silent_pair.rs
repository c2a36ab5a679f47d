//! Pairs without weir's alias: the reference made them, or another program replaced the alias.
//!
//! The first of these that is known decides: the hardware address in `prevResult`, or the name of the host's end there (a
//! later plugin of the chain may have changed the address, which its DEL has restored); the reservation of the interface's
//! address that `host-local` keeps on disk; the addresses in `prevResult`.

use std::net::IpAddr;
use std::path::Path;

use cni::Request;
use linux::{Link, Mac, Rtnetlink, SymbolicLinks};
use serde::Deserialize;

use crate::error::Result;

/// Where `host-local` keeps its reservations unless `ipam.dataDir` says otherwise: a file for each address, in a
/// folder for each network, with the container's ID in the first line.
const HOST_LOCAL: &str = "host-local";
const DATA_DIR: &str = "/var/lib/cni/networks";
/// A container's ID and an interface's name are shorter.
const RESERVATION_MAX: usize = 4096;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Keys {
    ipam: Ipam,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Ipam {
    r#type: String,
    data_dir: String,
}

/// Returns whether `end`, the pod's end of such a pair, is the attachment's.
pub(crate) fn is_ours(
    request: &Request,
    pod: &mut Rtnetlink,
    end: &Link,
    host_end: Option<&Link>,
) -> Result<bool> {
    if let Some(mac) = attached_mac(request) {
        return Ok(end.mac == Some(mac) || host_end.is_some_and(|link| is_in_result(request, &link.name)));
    }
    let present: Vec<_> = pod.addresses(end.index)?.iter().map(|address| address.network.ip()).collect();
    let held: Vec<_> = present.iter().filter_map(|address| is_held_by(request, *address)).collect();
    if !held.is_empty() {
        return Ok(held.contains(&true));
    }
    let attached = request.prev_result.iter().flat_map(|previous| &previous.ips);
    Ok(attached.into_iter().any(|ip| present.contains(&ip.address.ip())))
}

/// Returns whether `prevResult` has an interface of this name on the host.
pub(crate) fn is_in_result(request: &Request, name: &str) -> bool {
    let mut interfaces = request.prev_result.iter().flat_map(|previous| &previous.interfaces);
    interfaces.any(|known| known.sandbox.is_empty() && known.name == name)
}

/// Returns the hardware address that the pod's interface had after ADD, as `prevResult` tells it.
pub fn attached_mac(request: &Request) -> Option<Mac> {
    let interfaces = &request.prev_result.as_ref()?.interfaces;
    let is_the_end = |known: &&cni::Interface| known.name == request.interface() && !known.sandbox.is_empty();
    interfaces.iter().find(is_the_end)?.mac.parse().ok()
}

/// Returns whether `host-local` holds the address for this container; `None` when it is free.
fn is_held_by(request: &Request, address: IpAddr) -> Option<bool> {
    let Keys { ipam } = request.config().ok()?;
    if ipam.r#type != HOST_LOCAL {
        return None;
    }
    let folder = if ipam.data_dir.is_empty() { DATA_DIR } else { &ipam.data_dir };
    let file = Path::new(folder).join(&request.network).join(address.to_string());
    let text = linux::read_regular(&file, RESERVATION_MAX, SymbolicLinks::Refuse).ok()?;
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines().map(str::trim);
    let is_ours = lines.next() == Some(request.container_id());
    // Old reservations do not tell the interface.
    Some(is_ours && lines.next().is_none_or(|interface| interface == request.interface()))
}
