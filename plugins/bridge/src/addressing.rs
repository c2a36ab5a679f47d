//! From the IPAM plugin's answer to what the pod and the bridge get: gateways, default routes, next hops.
//! Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cni::{AddResult, IpConfig, Route};
use ipnetwork::IpNetwork;

use crate::config::Roles;
use crate::error::{Error, Result};

/// Scope "link" of a route (`RT_SCOPE_LINK` in uapi/linux/rtnetlink.h).
const SCOPE_LINK: u8 = 253;

/// Addresses and routes of one attachment.
#[derive(Debug, Default)]
pub(crate) struct Addressing {
    /// The pod's addresses, with the gateway of each.
    pub ips: Vec<IpConfig>,
    /// The routes of the result: the IPAM plugin's and the default routes that the config asks for.
    pub routes: Vec<Route>,
    /// The gateways with their subnets' prefix lengths, which the bridge is to have.
    pub gateways: Vec<IpNetwork>,
}

impl Addressing {
    pub fn new(ipam: &AddResult, roles: Roles) -> Result<Self> {
        let mut addressing =
            Self { ips: ipam.ips.clone(), routes: ipam.routes.clone(), gateways: Vec::new() };
        for ip in &mut addressing.ips {
            if ip.gateway.is_none() && roles.is_gateway {
                let first = first_address(ip.address).ok_or(Error::NoGateway { address: ip.address })?;
                ip.gateway = Some(first);
            }
            if let (true, Some(gateway)) = (roles.is_gateway, ip.gateway) {
                let gateway = with_prefix(gateway, ip.address);
                if !addressing.gateways.contains(&gateway) {
                    addressing.gateways.push(gateway);
                }
            }
            let default = default_destination(ip.address);
            let has_default =
                addressing.routes.iter().any(|route| route.dst == default && route.gw.is_some());
            if roles.is_default_gateway && !has_default {
                addressing.routes.push(Route::new(default, ip.gateway));
            }
        }
        Ok(addressing)
    }

    /// The pod's addresses with their subnets' prefix lengths.
    pub fn addresses(&self) -> Vec<IpNetwork> {
        self.ips.iter().map(|ip| ip.address).collect()
    }

    /// Whether the pod gets an address of this family.
    pub fn has_family(&self, is_ipv4: bool) -> bool {
        self.ips.iter().any(|ip| ip.address.is_ipv4() == is_ipv4)
    }

    /// The routes as the kernel gets them: a route without a next hop goes by the first gateway of its
    /// family, unless its scope says that the destination is on the link.
    pub fn kernel_routes(&self) -> impl Iterator<Item = linux::Route> {
        self.routes.iter().map(|route| {
            let on_link = route.scope.is_some_and(|scope| scope >= SCOPE_LINK);
            let gateway = self
                .ips
                .iter()
                .filter(|ip| !on_link && ip.address.is_ipv4() == route.dst.is_ipv4())
                .find_map(|ip| ip.gateway);
            linux::Route {
                destination: route.dst,
                gateway: route.gw.or(gateway),
                // Go writes 0 for what is not set.
                mtu: route.mtu.filter(|mtu| *mtu != 0),
                advertised_mss: route.advmss.filter(|mss| *mss != 0),
                priority: route.priority,
                table: route.table,
                scope: route.scope,
            }
        })
    }
}

/// The first address after the subnet's own, which is the gateway where nobody names another.
fn first_address(address: IpNetwork) -> Option<IpAddr> {
    let first = match address.network() {
        IpAddr::V4(network) => IpAddr::from(Ipv4Addr::from_bits(network.to_bits().checked_add(1)?)),
        IpAddr::V6(network) => IpAddr::from(Ipv6Addr::from_bits(network.to_bits().checked_add(1)?)),
    };
    address.contains(first).then_some(first)
}

fn with_prefix(ip: IpAddr, of: IpNetwork) -> IpNetwork {
    IpNetwork::new(ip, of.prefix()).unwrap_or_else(|_| ip.into())
}

fn default_destination(address: IpNetwork) -> IpNetwork {
    let any = match address {
        IpNetwork::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpNetwork::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    IpNetwork::new(any, 0).unwrap_or_else(|_| any.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ipam(addresses: &[(&str, Option<&str>)], routes: &[(&str, Option<&str>)]) -> AddResult {
        AddResult {
            ips: addresses
                .iter()
                .map(|(address, gateway)| IpConfig {
                    interface: None,
                    address: address.parse().unwrap(),
                    gateway: gateway.map(|gateway| gateway.parse().unwrap()),
                })
                .collect(),
            routes: routes
                .iter()
                .map(|(dst, gw)| Route::new(dst.parse().unwrap(), gw.map(|gw| gw.parse().unwrap())))
                .collect(),
            ..AddResult::default()
        }
    }

    fn roles(is_gateway: bool, is_default_gateway: bool) -> Roles {
        Roles { is_gateway, is_default_gateway }
    }

    fn next_hops(addressing: &Addressing) -> Vec<String> {
        addressing.kernel_routes().map(|route| route.to_string()).collect()
    }

    #[test]
    fn a_gateway_that_nobody_names_is_the_subnets_first_address() {
        let answer = ipam(&[("10.1.2.7/24", None), ("2001:db8::7/64", None)], &[]);
        let addressing = Addressing::new(&answer, roles(true, false)).unwrap();
        let gateways: Vec<_> = addressing.gateways.iter().map(ToString::to_string).collect();
        assert_eq!(gateways, ["10.1.2.1/24", "2001:db8::1/64"]);
        assert_eq!(addressing.ips[0].gateway, Some("10.1.2.1".parse().unwrap()));
    }

    #[test]
    fn without_is_gateway_the_bridge_gets_no_address() {
        let answer = ipam(&[("10.1.2.7/24", Some("10.1.2.1"))], &[("0.0.0.0/0", None)]);
        let addressing = Addressing::new(&answer, roles(false, false)).unwrap();
        assert!(addressing.gateways.is_empty());
        assert_eq!(next_hops(&addressing), ["route 0.0.0.0/0 via 10.1.2.1"]);
    }

    #[test]
    fn the_default_gateway_adds_one_default_route_for_each_family() {
        let answer = ipam(&[("10.1.2.7/24", None), ("2001:db8::7/64", None), ("10.9.0.7/24", None)], &[]);
        let addressing = Addressing::new(&answer, roles(true, true)).unwrap();
        assert_eq!(next_hops(&addressing), ["route 0.0.0.0/0 via 10.1.2.1", "route ::/0 via 2001:db8::1"]);
    }

    #[test]
    fn a_default_route_of_the_ipam_plugin_with_a_next_hop_is_enough() {
        let answer = ipam(&[("10.1.2.7/24", None)], &[("0.0.0.0/0", Some("10.1.2.254"))]);
        let addressing = Addressing::new(&answer, roles(true, true)).unwrap();
        assert_eq!(next_hops(&addressing), ["route 0.0.0.0/0 via 10.1.2.254"]);
    }

    #[test]
    fn a_route_of_link_scope_has_no_next_hop() {
        let mut answer = ipam(&[("10.1.2.7/24", None)], &[("10.5.0.0/16", None)]);
        answer.routes[0].scope = Some(SCOPE_LINK);
        let addressing = Addressing::new(&answer, roles(true, false)).unwrap();
        assert_eq!(next_hops(&addressing), ["route 10.5.0.0/16"]);
    }

    #[test]
    fn a_single_address_has_no_room_for_a_gateway() {
        let answer = ipam(&[("10.1.2.7/32", None)], &[]);
        assert!(matches!(Addressing::new(&answer, roles(true, false)), Err(Error::NoGateway { .. })));
    }
}
