//! The routes of host and pod to each other, and the addresses of the host's end.

use std::net::Ipv6Addr;

use attachment::Addressing;
use ipnetwork::IpNetwork;
use linux::{Change, DuplicateDetection, Link, Mac, Route};
use nix::libc::RT_SCOPE_HOST;

/// Returns the changes in the pod that replace the kernel's routes, for which a whole subnet is on the link, by routes
/// to the gateways and, by them, to the subnets.
pub(crate) fn of_pod(pod_end: u32, addressing: &Addressing) -> Vec<Change> {
    let (mut deleted, mut added) = (Vec::new(), Vec::new());
    for ip in &addressing.ips {
        let (Some(gateway), Some(subnet)) = (ip.gateway, subnet(ip.address)) else { continue };
        deleted.push(Change::delete_subnet_route(pod_end, subnet));
        for (destination, next_hop) in [(gateway.into(), None), (subnet, Some(gateway))] {
            let route = Route { source: Some(ip.address.ip()), ..Route::new(destination, next_hop) };
            added.push(Change::add_route(pod_end, &route));
        }
    }
    deleted.extend(added);
    deleted
}

/// Returns the changes that give the host's end the gateways' addresses, and the host a route to each address of the
/// pod.
///
/// The host sends neighbour solicitations for the pod's IPv6 addresses from a link-local address. The kernel probes its
/// own one for a second or two, in which it cannot be used. This one is not probed: the pod is the only neighbour.
pub(crate) fn of_host(host_end: &Link, addressing: &Addressing) -> Vec<Change> {
    let index = host_end.index;
    let link_local = host_end.mac.filter(|_| addressing.has_family(false)).map(link_local);
    let gateways = addressing.gateways.iter().map(|gateway| IpNetwork::from(gateway.ip()));
    let addresses = link_local
        .into_iter()
        .chain(gateways)
        .map(|address| Change::add_address(index, address, DuplicateDetection::Skip));
    let routes = addressing.ips.iter().map(|ip| {
        let route = Route { scope: Some(RT_SCOPE_HOST), ..Route::new(ip.address.ip().into(), None) };
        Change::add_route(index, &route)
    });
    addresses.chain(routes).collect()
}

/// Returns the subnet of an address.
fn subnet(address: IpNetwork) -> Option<IpNetwork> {
    IpNetwork::new(address.network(), address.prefix()).ok()
}

/// Returns the link-local address that follows from a hardware address (RFC 4291, appendix A).
fn link_local(Mac([a, b, c, d, e, f]): Mac) -> IpNetwork {
    let pair = |high, low| u16::from_be_bytes([high, low]);
    let address = Ipv6Addr::new(0xfe80, 0, 0, 0, pair(a ^ 2, b), pair(c, 0xff), pair(0xfe, d), pair(e, f));
    IpNetwork::new(address.into(), 64).unwrap_or_else(|_| IpNetwork::from(std::net::IpAddr::from(address)))
}
