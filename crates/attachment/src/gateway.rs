//! The gateway of a pod's address. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cni::{Failure, IpConfig};
use ipnetwork::IpNetwork;

use crate::error::{Result, internal};

/// Returns the gateway of a pod's address. An unspecified gateway (`0.0.0.0`, `::`) counts as absent, as for the
/// kernel.
///
/// Where the host is the gateway (`is_gateway`), the default is the subnet's first address. A gateway that the host
/// cannot have as its address, or that the pod cannot reach, is an error. A link-local gateway can be reached from any
/// subnet. Otherwise the kernel checks the gateway when a route uses it.
pub(crate) fn gateway_of(ip: &IpConfig, is_gateway: bool) -> Result<Option<IpAddr>> {
    let gateway = ip.gateway.map(|gateway| gateway.to_canonical());
    let refused = |gateway, problem| {
        let problem = format_args!("{gateway} {problem} (the pod's address is {})", ip.address);
        Err(Failure::invalid_key("ipam.gateway", problem).into())
    };
    match gateway {
        Some(gateway) if gateway.is_ipv4() != ip.address.is_ipv4() => {
            refused(gateway, "is of another address family")
        }
        None if is_gateway => first_address(ip.address).map(Some).ok_or_else(|| {
            internal(format_args!(
                "no gateway for {}: the IPAM plugin names none and the subnet has no first address",
                ip.address
            ))
        }),
        Some(gateway) if is_gateway => match problem(gateway, ip.address) {
            None => Ok(Some(gateway)),
            Some(problem) => refused(gateway, problem),
        },
        gateway => Ok(gateway.filter(|gateway| !gateway.is_unspecified())),
    }
}

/// Returns the reason for which `gateway` cannot be the host's address in the subnet of the pod's `address`.
fn problem(gateway: IpAddr, address: IpNetwork) -> Option<&'static str> {
    let has_broadcast = matches!(address, IpNetwork::V4(v4) if v4.prefix() < 31);
    if gateway.is_unspecified() {
        Some("is unspecified; leave the key out for the first address of the subnet")
    } else if gateway.is_multicast() {
        Some("is a multicast address")
    } else if gateway.is_loopback() {
        Some("is a loopback address")
    } else if gateway == address.ip() {
        Some("is the pod's own address")
    } else if is_link_local(gateway) {
        None
    } else if !address.contains(gateway) {
        Some("is outside the subnet")
    } else if has_broadcast && gateway == address.network() {
        Some("is the address of the subnet itself")
    } else if has_broadcast && gateway == address.broadcast() {
        Some("is the broadcast address of the subnet")
    } else {
        None
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Returns the first address after the subnet's own.
fn first_address(address: IpNetwork) -> Option<IpAddr> {
    let first = match address.network() {
        IpAddr::V4(network) => IpAddr::from(Ipv4Addr::from_bits(network.to_bits().checked_add(1)?)),
        IpAddr::V6(network) => IpAddr::from(Ipv6Addr::from_bits(network.to_bits().checked_add(1)?)),
    };
    address.contains(first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(address: &str, gateway: Option<&str>, is_gateway: bool) -> Result<Option<String>> {
        let gateway = gateway.map(|gateway| gateway.parse().unwrap());
        let ip = IpConfig { interface: None, address: address.parse().unwrap(), gateway };
        Ok(gateway_of(&ip, is_gateway)?.map(|gateway| gateway.to_string()))
    }

    #[test]
    fn a_gateway_that_the_host_cannot_have_is_refused_with_the_reason() {
        for (address, unusable, reason) in [
            ("10.0.0.2/24", "fd00::1", "family"),
            ("fd00::2/64", "10.0.0.1", "family"),
            ("10.0.0.2/24", "192.168.1.1", "outside"),
            ("fd00::2/64", "fd01::1", "outside"),
            ("10.0.0.2/24", "0.0.0.0", "unspecified"),
            ("fd00::2/64", "::", "unspecified"),
            ("10.0.0.2/24", "224.0.0.1", "multicast"),
            ("fd00::2/64", "ff02::1", "multicast"),
            ("10.0.0.2/24", "127.0.0.1", "loopback"),
            ("10.0.0.2/24", "10.0.0.2", "own"),
            ("10.0.0.2/24", "10.0.0.0", "subnet itself"),
            ("10.0.0.2/24", "10.0.0.255", "broadcast"),
        ] {
            let refused = gateway(address, Some(unusable), true).unwrap_err().to_string();
            for word in ["ipam.gateway", unusable, address, reason] {
                assert!(refused.contains(word), "{refused}");
            }
        }
    }

    #[test]
    fn a_gateway_that_the_host_can_have_is_taken() {
        for (address, usable) in [
            ("10.0.0.2/24", "10.0.0.254"),
            ("10.0.0.0/31", "10.0.0.1"),
            ("10.0.0.1/31", "10.0.0.0"),
            ("fd00::2/64", "fd00::ff"),
            ("fd00::2/64", "fe80::1"),
        ] {
            assert_eq!(gateway(address, Some(usable), true).unwrap().as_deref(), Some(usable), "{address}");
        }
        assert_eq!(gateway("10.0.0.2/24", Some("::ffff:10.0.0.9"), true).unwrap().unwrap(), "10.0.0.9");
    }

    #[test]
    fn where_the_host_is_not_the_gateway_only_the_family_must_be_right() {
        assert_eq!(gateway("10.0.0.2/24", Some("192.168.1.1"), false).unwrap().unwrap(), "192.168.1.1");
        assert_eq!(gateway("10.0.0.2/24", Some("0.0.0.0"), false).unwrap(), None);
        assert_eq!(gateway("fd00::2/64", Some("::"), false).unwrap(), None);
        assert_eq!(gateway("fd00::2/64", None, false).unwrap(), None);
        assert!(gateway("10.0.0.2/24", Some("fd00::1"), false).is_err());
    }

    #[test]
    fn the_default_gateway_is_the_first_address_of_the_subnet() {
        assert_eq!(gateway("10.1.2.7/24", None, true).unwrap().unwrap(), "10.1.2.1");
        assert_eq!(gateway("2001:db8::7/64", None, true).unwrap().unwrap(), "2001:db8::1");
        let refused = gateway("10.1.2.7/32", None, true).unwrap_err().to_string();
        assert!(refused.contains("no gateway for 10.1.2.7/32"), "{refused}");
    }
}
