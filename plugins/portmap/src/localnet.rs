//! `route_localnet`: the kernel lets packets from 127.0.0.1 leave by the interface that leads to the pod.

use linux::{Result, Rtnetlink, sysctl};

use crate::forward::Forward;

/// Returns the kernel parameter that lets 127.0.0.1 have the ports; none where no port is to have it, and where no
/// route leads to the pod.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn parameter(forwards: &[Forward]) -> Result<Option<String>> {
    let Some(forward) = forwards.iter().find(|forward| forward.sources.loopback) else { return Ok(None) };
    let mut host = Rtnetlink::open()?;
    let Some((_, interface)) = host.route_to(forward.pod.ip())? else { return Ok(None) };
    let link = host.link_by_index(interface)?;
    Ok(link.map(|link| format!("net/ipv4/conf/{}/route_localnet", link.name)))
}

/// Sets it. As `sysctl -w net.ipv4.conf.IFNAME.route_localnet=1`.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn allow(forwards: &[Forward]) -> Result<()> {
    match parameter(forwards)? {
        Some(parameter) => sysctl::ensure(&parameter, "1"),
        None => Ok(()),
    }
}
