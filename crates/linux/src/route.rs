//! A route, and how it is added.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteProtocol, RouteScope,
    RouteType,
};
use nix::errno::Errno;

use crate::change::Change;
use crate::family::Family;

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
    /// Address that what is sent by the route comes from; the kernel's choice when absent.
    pub source: Option<IpAddr>,
}

impl Route {
    /// Returns a route to `destination` in the main table, by `gateway` if there is one.
    pub fn new(destination: IpNetwork, gateway: Option<IpAddr>) -> Self {
        let (mtu, advertised_mss, priority, table) = (None, None, None, None);
        Self { destination, gateway, mtu, advertised_mss, priority, table, scope: None, source: None }
    }

    /// The message that names the route, made by the kernel or by an administrator.
    fn message(&self, link: u32, protocol: RouteProtocol) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = Family::of_address(self.destination.ip()).into();
        message.header.destination_prefix_length = self.destination.prefix();
        message.header.protocol = protocol;
        message.header.kind = RouteType::Unicast;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.scope = match (self.scope, self.gateway) {
            (Some(scope), _) => RouteScope::from(scope),
            (None, None) if self.destination.is_ipv4() => RouteScope::Link,
            _ => RouteScope::Universe,
        };
        if self.destination.prefix() > 0 {
            let destination = RouteAddress::from(self.destination.network());
            message.attributes.push(RouteAttribute::Destination(destination));
        }
        message.attributes.extend(self.gateway.map(|gateway| RouteAttribute::Gateway(gateway.into())));
        message.attributes.extend(self.source.map(|source| RouteAttribute::PrefSource(source.into())));
        message.attributes.push(RouteAttribute::Oif(link));
        message
    }
}

impl Change {
    /// Deletes the route that the kernel made for an address with this subnet; a route that is gone is not an error.
    ///
    /// As `ip route delete SUBNET dev NAME proto kernel`.
    pub fn delete_subnet_route(link: u32, subnet: IpNetwork) -> Self {
        let message = Route::new(subnet, None).message(link, RouteProtocol::Kernel);
        Self::new(RouteNetlinkMessage::DelRoute(message), 0, link, move |name| {
            format!("delete the kernel's route to {subnet} from {name}")
        })
        .ignoring(&[Errno::ESRCH])
    }

    /// Adds a route. An identical route is not an error. Another next hop to a known destination is a route of its
    /// own. A gateway that is not on the link is refused as "network is unreachable".
    ///
    /// As `ip route add DESTINATION [via GATEWAY] dev NAME [metric N] [table N] [mtu N] [advmss N] [src ADDRESS]`.
    pub fn add_route(link: u32, route: &Route) -> Self {
        let mut message = route.message(link, RouteProtocol::Boot);
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
        Self::new(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE, link, move |name| {
            format!("add {shown} to {name}")
        })
        .ignoring(&[Errno::EEXIST])
    }
}

impl std::fmt::Display for Route {
    /// Writes the route as `ip route` takes it.
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
    use crate::testing::{bridge, new_namespace};

    #[test]
    fn a_refused_route_is_told_as_a_whole() {
        let mut host = new_namespace();
        let bridge = bridge(&mut host, "br0").index;
        let route = Route {
            mtu: Some(1400),
            priority: Some(50),
            table: Some(100),
            ..Route::new("192.0.2.0/24".parse().unwrap(), Some("10.9.0.1".parse().unwrap()))
        };
        let refused = host.apply(&[Change::add_route(bridge, &route)]).unwrap_err().to_string();
        assert!(
            refused.contains("route 192.0.2.0/24 via 10.9.0.1 table 100 metric 50 mtu 1400"),
            "{refused}"
        );
    }
}
