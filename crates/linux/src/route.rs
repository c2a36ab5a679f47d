//! Routes of a namespace.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteProtocol,
    RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use nix::libc::{
    RTA_DST, RTA_GATEWAY, RTA_METRICS, RTA_MULTIPATH, RTA_OIF, RTA_PRIORITY, RTA_TABLE, RTM_NEWROUTE,
    RTN_UNICAST,
};

use crate::address::{family, ip};
use crate::change::Change;
use crate::constants::{RTAX_ADVMSS, RTAX_MTU, RTMSG_LEN, RTNEXTHOP_LEN};
use crate::error::Result;
use crate::netlink::{Reply, attributes, read_u32};
use crate::rtnetlink::Rtnetlink;

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of_address(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Length of an address in bytes.
    pub fn address_len(self) -> u32 {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }

    /// 0.0.0.0 or ::.
    pub fn unspecified(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }
}

impl From<Family> for AddressFamily {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self::Inet,
            Family::V6 => Self::Inet6,
        }
    }
}

/// A route, with one next hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Destination prefix; `0.0.0.0/0` or `::/0` is the default route.
    pub destination: IpNetwork,
    /// Next hop; without one the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// Largest packet in bytes, a metric of the route.
    pub mtu: Option<u32>,
    /// Largest TCP segment to advertise, in bytes.
    pub advertised_mss: Option<u32>,
    /// Preference among routes to the same destination; smaller wins.
    pub priority: Option<u32>,
    /// Routing table; `main` (254) when absent.
    pub table: Option<u32>,
    /// `rtm_scope`: 0 universe, 253 link; derived from the gateway when absent.
    pub scope: Option<u8>,
}

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
            destination: IpNetwork::new(any, 0).ok()?,
            gateway: None,
            mtu: None,
            advertised_mss: None,
            priority: None,
            table: Some(header[4].into()),
            scope: Some(header[6]),
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

    /// A route of its own for each next hop.
    fn routes(self) -> impl Iterator<Item = Route> {
        self.hops.into_iter().map(move |(_, gateway)| Route { gateway, ..self.route.clone() })
    }
}

/// The next hops in an `RTA_MULTIPATH`; a malformed tail is skipped.
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

impl Change {
    /// Adds a route; one that is exactly the same is fine. Another next hop to a known destination is a route
    /// of its own. A gateway that is not on the link is refused as "network is unreachable".
    ///
    /// As `ip route add DESTINATION [via GATEWAY] dev NAME [metric N] [table N] [mtu N] [advmss N]`.
    pub fn add_route(link: u32, route: &Route) -> Self {
        let mut message = RouteMessage::default();
        message.header.address_family = family(route.destination.ip());
        message.header.destination_prefix_length = route.destination.prefix();
        message.header.protocol = RouteProtocol::Boot;
        message.header.kind = RouteType::Unicast;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.scope = match (route.scope, route.gateway) {
            (Some(scope), _) => RouteScope::from(scope),
            (None, None) if route.destination.is_ipv4() => RouteScope::Link,
            _ => RouteScope::Universe,
        };
        if route.destination.prefix() > 0 {
            message
                .attributes
                .push(RouteAttribute::Destination(RouteAddress::from(route.destination.network())));
        }
        message.attributes.extend(route.gateway.map(|gateway| RouteAttribute::Gateway(gateway.into())));
        message.attributes.push(RouteAttribute::Oif(link));
        message.attributes.extend(route.priority.map(RouteAttribute::Priority));
        if let Some(table) = route.table {
            message.header.table = u8::try_from(table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
            message.attributes.push(RouteAttribute::Table(table));
        }
        let metrics: Vec<_> =
            [route.mtu.map(RouteMetric::Mtu), route.advertised_mss.map(RouteMetric::Advmss)]
                .into_iter()
                .flatten()
                .collect();
        if !metrics.is_empty() {
            message.attributes.push(RouteAttribute::Metrics(metrics));
        }
        let shown = route.to_string();
        Self {
            request: RouteNetlinkMessage::NewRoute(message),
            flags: NLM_F_CREATE,
            link,
            operation: Box::new(move |name| format!("add {shown} to {name}")),
            ignored: &[Errno::EEXIST],
            missing: None,
        }
    }
}

impl Rtnetlink {
    /// The unicast routes of one family, of every table; one with several next hops comes once for each of them. As
    /// `ip [-6] route show table all type unicast`.
    ///
    /// The kernel filters by the type (strict checking, Linux 5.0); older ones send every route and the filter here
    /// applies.
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

    /// The prefix of the route by which the namespace reaches `address` itself, and the index of the interface that
    /// it leads to; none without a route, or with one that leads to no interface. As `ip route get fibmatch ADDRESS`
    /// (Linux 4.13; 4.16 for IPv6).
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn route_to(&mut self, address: IpAddr) -> Result<Option<(IpNetwork, u32)>> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(address);
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
            // No route, or one that says so: unreachable, prohibit, blackhole.
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

impl std::fmt::Display for Route {
    /// As `ip route` takes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "route {}", self.destination)?;
        if let Some(gateway) = self.gateway {
            write!(f, " via {gateway}")?;
        }
        let settings = [
            ("table", self.table),
            ("metric", self.priority),
            ("scope", self.scope.map(u32::from)),
            ("mtu", self.mtu),
            ("advmss", self.advertised_mss),
        ];
        for (name, value) in settings {
            if let Some(value) = value {
                write!(f, " {name} {value}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DuplicateDetection;
    use crate::testing::{bridge, new_namespace};

    fn a_bridge_with(address: &str) -> (Rtnetlink, u32) {
        let mut host = new_namespace();
        let bridge = bridge(&mut host, "br0").index;
        host.add_address(bridge, address.parse().unwrap(), DuplicateDetection::Skip).unwrap();
        (host, bridge)
    }

    #[test]
    fn a_refused_route_is_told_as_a_whole() {
        let (mut host, bridge) = a_bridge_with("10.1.0.1/24");
        let route = Route {
            destination: "192.0.2.0/24".parse().unwrap(),
            gateway: Some("10.9.0.1".parse().unwrap()),
            mtu: Some(1400),
            advertised_mss: None,
            priority: Some(50),
            table: Some(100),
            scope: None,
        };
        let refused = host.apply(&[Change::add_route(bridge, &route)]).unwrap_err().to_string();
        assert!(
            refused.contains("route 192.0.2.0/24 via 10.9.0.1 table 100 metric 50 mtu 1400"),
            "{refused}"
        );
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
        for (own, neighbour, stranger) in
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
            assert_eq!(host.route_to(stranger.parse().unwrap()).unwrap(), None);
        }
    }
}
