//! Addresses, gateways and routes of a pod and of its gateway on the host, from the IPAM plugin's answer. Pure.

use std::net::IpAddr;

use cni::{AddResult, Failure, IpConfig, Route};
use ipnetwork::IpNetwork;
use linux::Family;
use nix::libc::RT_SCOPE_LINK;

use crate::config::check_mtu_for;
use crate::error::Result;
use crate::gateway::gateway_of;

/// The smallest MTU with which the kernel has IPv6 on a link (`IPV6_MIN_MTU` in uapi/linux/ipv6.h).
pub const SMALLEST_MTU_OF_IPV6: u32 = 1280;

/// The roles of the host for the pods of a network.
#[derive(Debug, Clone, Copy)]
pub struct Roles {
    /// The host has the gateways' addresses, on its bridge or at its end of the pair.
    pub is_gateway: bool,
    /// The pod gets a default route by the gateway, of each family.
    pub is_default_gateway: bool,
}

/// Addresses and routes of one attachment.
#[derive(Debug, Default)]
pub struct Addressing {
    /// The pod's addresses, with the gateway of each.
    pub ips: Vec<IpConfig>,
    /// The routes of the result: the IPAM plugin's and the default routes that the config asks for.
    pub routes: Vec<Route>,
    /// The gateways that the host has, with their subnets' prefix lengths.
    pub gateways: Vec<IpNetwork>,
}

impl Addressing {
    /// Reads the IPAM plugin's answer. `mtu` is the interface's, where the config has one.
    ///
    /// # Errors
    /// When a gateway, a next hop or the MTU cannot be used.
    pub fn new(ipam: &AddResult, roles: Roles, mtu: Option<u32>) -> Result<Self> {
        let mut addressing =
            Self { ips: ipam.ips.clone(), routes: ipam.routes.clone(), gateways: Vec::new() };
        for ip in &mut addressing.ips {
            mtu.map_or(Ok(()), |mtu| check_mtu_for(ip.address, mtu))?;
            ip.gateway = gateway_of(ip, roles.is_gateway)?;
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
        for route in &addressing.routes {
            let is_unusable = |hop: &IpAddr| hop.to_canonical().is_ipv4() != route.dst.is_ipv4();
            if let Some(next_hop) = route.gw.filter(is_unusable) {
                let problem =
                    format_args!("the next hop {next_hop} of {} is of another address family", route.dst);
                return Err(Failure::invalid_key("ipam.routes", problem).into());
            }
        }
        Ok(addressing)
    }

    /// Returns the pod's addresses with their subnets' prefix lengths.
    pub fn addresses(&self) -> Vec<IpNetwork> {
        self.ips.iter().map(|ip| ip.address).collect()
    }

    /// Returns whether the pod gets an address of this family.
    pub fn has_family(&self, is_ipv4: bool) -> bool {
        self.ips.iter().any(|ip| ip.address.is_ipv4() == is_ipv4)
    }

    /// Returns the routes as the kernel gets them. A route without a next hop goes by the first gateway of its family,
    /// unless its scope, or an unspecified next hop, says that the destination is on the link.
    pub(crate) fn kernel_routes(&self) -> impl Iterator<Item = linux::Route> {
        self.routes.iter().map(|route| {
            let on_link = route.scope.is_some_and(|scope| scope >= RT_SCOPE_LINK);
            let first_gateway = || {
                let mut of_family = self.ips.iter().filter(|ip| ip.address.is_ipv4() == route.dst.is_ipv4());
                of_family.find_map(|ip| ip.gateway)
            };
            let next_hop = if on_link { route.gw } else { route.gw.or_else(first_gateway) };
            let gateway = next_hop.map(|hop| hop.to_canonical()).filter(|hop| !hop.is_unspecified());
            linux::Route {
                // Go writes 0 for what is not set.
                mtu: route.mtu.filter(|mtu| *mtu != 0),
                advertised_mss: route.advmss.filter(|mss| *mss != 0),
                priority: route.priority,
                table: route.table,
                scope: route.scope,
                ..linux::Route::new(route.dst, gateway)
            }
        })
    }
}

fn with_prefix(ip: IpAddr, of: IpNetwork) -> IpNetwork {
    IpNetwork::new(ip, of.prefix()).unwrap_or_else(|_| ip.into())
}

fn default_destination(address: IpNetwork) -> IpNetwork {
    IpNetwork::new(Family::of_address(address.ip()).unspecified(), 0).unwrap_or(address)
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
    fn the_default_gateway_is_the_subnets_first_address() {
        let answer = ipam(&[("10.1.2.7/24", None), ("2001:db8::7/64", None)], &[]);
        let addressing = Addressing::new(&answer, roles(true, false), None).unwrap();
        let gateways: Vec<_> = addressing.gateways.iter().map(ToString::to_string).collect();
        assert_eq!(gateways, ["10.1.2.1/24", "2001:db8::1/64"]);
        assert_eq!(addressing.ips[0].gateway, Some("10.1.2.1".parse().unwrap()));
    }

    #[test]
    fn without_is_gateway_the_bridge_gets_no_address() {
        let answer = ipam(&[("10.1.2.7/24", Some("10.1.2.1"))], &[("0.0.0.0/0", None)]);
        let addressing = Addressing::new(&answer, roles(false, false), None).unwrap();
        assert!(addressing.gateways.is_empty());
        assert_eq!(next_hops(&addressing), ["route 0.0.0.0/0 via 10.1.2.1"]);
    }

    #[test]
    fn the_default_gateway_adds_one_default_route_for_each_family() {
        let answer = ipam(&[("10.1.2.7/24", None), ("2001:db8::7/64", None), ("10.9.0.7/24", None)], &[]);
        let addressing = Addressing::new(&answer, roles(true, true), None).unwrap();
        assert_eq!(next_hops(&addressing), ["route 0.0.0.0/0 via 10.1.2.1", "route ::/0 via 2001:db8::1"]);
    }

    #[test]
    fn a_default_route_of_the_ipam_plugin_with_a_next_hop_is_enough() {
        let answer = ipam(&[("10.1.2.7/24", None)], &[("0.0.0.0/0", Some("10.1.2.254"))]);
        let addressing = Addressing::new(&answer, roles(true, true), None).unwrap();
        assert_eq!(next_hops(&addressing), ["route 0.0.0.0/0 via 10.1.2.254"]);
    }

    #[test]
    fn a_route_of_link_scope_has_no_next_hop() {
        let mut answer = ipam(&[("10.1.2.7/24", None)], &[("10.5.0.0/16", None)]);
        answer.routes[0].scope = Some(RT_SCOPE_LINK);
        let addressing = Addressing::new(&answer, roles(true, false), None).unwrap();
        assert_eq!(next_hops(&addressing), ["route 10.5.0.0/16 scope 253"]);
    }

    #[test]
    fn a_route_with_an_unspecified_next_hop_is_on_the_link() {
        let answer = ipam(&[("10.1.2.7/24", None)], &[("10.5.0.0/16", Some("0.0.0.0"))]);
        let addressing = Addressing::new(&answer, roles(true, false), None).unwrap();
        assert_eq!(next_hops(&addressing), ["route 10.5.0.0/16"]);
    }

    #[test]
    fn a_next_hop_of_another_family_is_refused() {
        let answer = ipam(&[("10.1.2.7/24", None)], &[("10.5.0.0/16", Some("fd00::1"))]);
        let refused = Addressing::new(&answer, roles(true, false), None).unwrap_err().to_string();
        for word in ["ipam.routes", "10.5.0.0/16", "fd00::1"] {
            assert!(refused.contains(word), "{refused}");
        }
    }
}
