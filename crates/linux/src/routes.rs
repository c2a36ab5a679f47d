//! The routes that a namespace has.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_route::route::{RouteAttribute, RouteFlags, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use nix::libc::{
    RTA_DST, RTA_GATEWAY, RTA_METRICS, RTA_MULTIPATH, RTA_OIF, RTA_PRIORITY, RTA_TABLE, RTM_NEWROUTE,
    RTN_LOCAL, RTN_UNICAST,
};

use crate::address::ip;
use crate::constants::{RTAX_ADVMSS, RTAX_MTU, RTMSG_LEN, RTNEXTHOP_LEN};
use crate::error::Result;
use crate::family::Family;
use crate::netlink::{Reply, attributes, read_u32};
use crate::route::Route;
use crate::rtnetlink::Rtnetlink;

/// A route as the kernel describes it, with its next hops.
struct Parsed {
    /// The route without its next hops.
    route: Route,
    /// Its type: unicast, unreachable and so on (`rtm_type`).
    kind: u8,
    /// Index of the interface and address of the router, for each next hop.
    hops: Vec<(Option<u32>, Option<IpAddr>)>,
}

impl Parsed {
    fn new(reply: &Reply<'_>) -> Option<Self> {
        let header = reply.payload.get(..RTMSG_LEN).filter(|_| reply.kind == RTM_NEWROUTE)?;
        let any = if header[0] == u8::from(AddressFamily::Inet) {
            IpAddr::from([0; 4])
        } else {
            IpAddr::from([0; 16])
        };
        let mut route = Route {
            table: Some(header[4].into()),
            scope: Some(header[6]),
            ..Route::new(IpNetwork::new(any, 0).ok()?, None)
        };
        let (mut interface, mut router, mut hops) = (None, None, Vec::new());
        for attribute in attributes(reply.payload, RTMSG_LEN) {
            let value = attribute.value();
            match attribute.kind() {
                RTA_DST => route.destination = IpNetwork::new(ip(value)?, header[1]).ok()?,
                RTA_OIF => interface = read_u32(value),
                RTA_GATEWAY => router = ip(value),
                RTA_MULTIPATH => hops = next_hops(value),
                RTA_PRIORITY => route.priority = read_u32(value),
                RTA_TABLE => route.table = read_u32(value),
                RTA_METRICS => {
                    for metric in attributes(value, 0) {
                        match metric.kind() {
                            RTAX_MTU => route.mtu = read_u32(metric.value()),
                            RTAX_ADVMSS => route.advertised_mss = read_u32(metric.value()),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        if hops.is_empty() {
            hops.push((interface, router));
        }
        Some(Self { route, kind: header[7], hops })
    }

    /// Returns a route for each next hop.
    fn routes(self) -> impl Iterator<Item = Route> {
        self.hops.into_iter().map(move |(_, gateway)| Route { gateway, ..self.route.clone() })
    }
}

/// Reads an `RTA_MULTIPATH`; a malformed tail is skipped.
fn next_hops(mut bytes: &[u8]) -> Vec<(Option<u32>, Option<IpAddr>)> {
    let mut hops = Vec::new();
    while let Some(length) = bytes.first_chunk().copied().map(u16::from_ne_bytes).map(usize::from) {
        let Some(hop) = bytes.get(..length).filter(|hop| hop.len() >= RTNEXTHOP_LEN) else { break };
        let router = attributes(hop, RTNEXTHOP_LEN)
            .find(|attribute| attribute.kind() == RTA_GATEWAY)
            .and_then(|attribute| ip(attribute.value()));
        hops.push((read_u32(&hop[4..]), router));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    hops
}

impl Rtnetlink {
    /// Returns the unicast routes of one family, of every table; one for each next hop. As `ip [-6] route show table
    /// all type unicast`.
    ///
    /// The kernel filters by the type (strict checking, Linux 5.0). Older kernels send every route, so the reply is
    /// filtered here too.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn routes(&mut self, family: Family) -> Result<Vec<Route>> {
        let mut message = RouteMessage::default();
        message.header.address_family = family.into();
        message.header.kind = RouteType::Unicast;
        let request = RouteNetlinkMessage::GetRoute(message);
        let found = self.dump(request, format_args!("list the routes"), |reply| {
            Parsed::new(reply).filter(|found| found.kind == RTN_UNICAST)
        })?;
        Ok(found.into_iter().flat_map(Parsed::routes).collect())
    }

    /// Returns the prefix of the route that the namespace uses for `address`, and the index of its interface; none
    /// without a route, or without an interface. As `ip route get fibmatch ADDRESS` (Linux 4.13; 4.16 for IPv6).
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn route_to(&mut self, address: IpAddr) -> Result<Option<(IpNetwork, u32)>> {
        let mut message = RouteMessage::default();
        message.header.address_family = Family::of_address(address).into();
        message.header.destination_prefix_length = IpNetwork::from(address).prefix();
        message.header.flags = RouteFlags::FibMatch;
        message.attributes.push(RouteAttribute::Destination(address.into()));
        let mut found = None;
        let outcome = self.attempt(RouteNetlinkMessage::GetRoute(message), 0, |reply| {
            found = Parsed::new(&reply).or(found.take());
        });
        match outcome {
            Ok(()) => Ok(found.and_then(|found| {
                let interface = found.hops.iter().find_map(|(interface, _)| *interface)?;
                Some((found.route.destination, interface))
            })),
            // No route, or an unreachable, prohibit or blackhole route.
            Err(failure)
                if matches!(
                    failure.errno(),
                    Some(Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EACCES | Errno::EINVAL)
                ) =>
            {
                Ok(None)
            }
            Err(failure) => Err(failure.during(format_args!("look up the route to {address}"))),
        }
    }
}

impl Rtnetlink {
    /// Returns whether packets to `address` stay in the namespace. As `ip route get ADDRESS`, whose line begins with
    /// `local`.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn is_local(&mut self, address: IpAddr) -> Result<bool> {
        let mut message = RouteMessage::default();
        message.header.address_family = Family::of_address(address).into();
        message.header.destination_prefix_length = IpNetwork::from(address).prefix();
        message.attributes.push(RouteAttribute::Destination(address.into()));
        let mut is_local = false;
        let outcome = self.attempt(RouteNetlinkMessage::GetRoute(message), 0, |reply| {
            is_local |= Parsed::new(&reply).is_some_and(|found| found.kind == RTN_LOCAL);
        });
        match outcome {
            Ok(()) => Ok(is_local),
            // No route, or an unreachable, prohibit or blackhole route.
            Err(failure) if failure.errno().is_some() => Ok(false),
            Err(failure) => Err(failure.during(format_args!("look up the route to {address}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bridge, new_namespace};
    use crate::{Change, DuplicateDetection};

    fn a_bridge_with(address: &str) -> (Rtnetlink, u32) {
        let mut host = new_namespace();
        let bridge = bridge(&mut host, "br0").index;
        host.add_address(bridge, address.parse().unwrap(), DuplicateDetection::Skip).unwrap();
        (host, bridge)
    }

    #[test]
    fn a_route_with_several_next_hops_is_one_for_each() {
        let (mut host, _) = a_bridge_with("fd00::1/64");
        let add = "ip -6 route add fd01::/64 nexthop via fd00::8 dev br0 nexthop via fd00::9 dev br0";
        assert!(std::process::Command::new("sh").args(["-c", add]).status().unwrap().success());
        let routes = host.routes(Family::V6).unwrap();
        let hops = routes.iter().filter(|route| route.destination.to_string() == "fd01::/64");
        let hops: Vec<_> = hops.map(|route| route.gateway.unwrap().to_string()).collect();
        assert_eq!(hops, ["fd00::8", "fd00::9"]);
    }

    #[test]
    fn the_route_to_an_address_is_found_with_its_interface() {
        for (own, neighbour, elsewhere) in
            [("10.1.0.1/24", "10.1.0.7", "10.2.0.1"), ("fd00::1/64", "fd00::7", "fd01::1")]
        {
            let (mut host, bridge) = a_bridge_with(own);
            let subnet: IpNetwork = own.parse().unwrap();
            let found = host.route_to(neighbour.parse().unwrap()).unwrap();
            let (prefix, interface) = found.unwrap();
            assert_eq!(
                (prefix.network(), prefix.prefix(), interface),
                (subnet.network(), subnet.prefix(), bridge)
            );
            assert_eq!(host.route_to(elsewhere.parse().unwrap()).unwrap(), None);
        }
    }

    /// The loopback addresses are there as soon as their interface is up; the kernel adds the route to another IPv6 address
    /// some time after the address.
    #[test]
    fn an_address_of_the_namespace_is_local_and_a_neighbours_is_not() {
        for (own, loopback, neighbour, elsewhere) in [
            ("10.1.0.1/24", "127.0.0.1", "10.1.0.7", "10.2.0.1"),
            ("fd00::1/64", "::1", "fd00::7", "fd01::1"),
        ] {
            let (mut host, _) = a_bridge_with(own);
            host.apply(&[Change::set_up(1)]).unwrap();
            let local = [loopback, neighbour, elsewhere]
                .map(|address| host.is_local(address.parse().unwrap()).unwrap());
            assert_eq!(local, [true, false, false]);
        }
    }
}
