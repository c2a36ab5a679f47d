//! Routes of a pod's namespace.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteProtocol, RouteScope,
    RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use crate::address::{family, ip};
use crate::change::Change;
use crate::error::Result;
use crate::netlink::{Reply, attributes, read_u32};
use crate::rtnetlink::Rtnetlink;

const RTM_NEWROUTE: u16 = 24;
/// `struct rtmsg` (uapi/linux/rtnetlink.h).
const RTMSG_LEN: usize = 12;
const RTA_DST: u16 = 1;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_METRICS: u16 = 8;
const RTA_TABLE: u16 = 15;
const RTAX_MTU: u16 = 2;
const RTAX_ADVMSS: u16 = 8;
const AF_INET: u8 = 2;

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A route.
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

impl Route {
    fn parse(reply: &Reply<'_>) -> Option<Self> {
        let header = reply.payload.get(..RTMSG_LEN).filter(|_| reply.kind == RTM_NEWROUTE)?;
        let any = if header[0] == AF_INET { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
        let mut route = Self {
            destination: IpNetwork::new(any, 0).ok()?,
            gateway: None,
            mtu: None,
            advertised_mss: None,
            priority: None,
            table: Some(header[4].into()),
            scope: Some(header[6]),
        };
        for attribute in attributes(reply.payload, RTMSG_LEN) {
            let value = attribute.value();
            match attribute.kind() {
                RTA_DST => route.destination = IpNetwork::new(ip(value)?, header[1]).ok()?,
                RTA_GATEWAY => route.gateway = ip(value),
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
        Some(route)
    }
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
            fine: &[Errno::EEXIST],
            missing: None,
        }
    }
}

impl Rtnetlink {
    /// The unicast routes of one family, of every table. As `ip [-6] route show table all type unicast`.
    ///
    /// The kernel filters by the type (strict checking, Linux 5.0).
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn routes(&mut self, family: Family) -> Result<Vec<Route>> {
        let mut message = RouteMessage::default();
        message.header.address_family = match family {
            Family::V4 => AddressFamily::Inet,
            Family::V6 => AddressFamily::Inet6,
        };
        message.header.kind = RouteType::Unicast;
        self.dump(RouteNetlinkMessage::GetRoute(message), format_args!("list the routes"), Route::parse)
    }
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "route {}", self.destination)?;
        self.gateway.map_or(Ok(()), |gateway| write!(f, " via {gateway}"))
    }
}
