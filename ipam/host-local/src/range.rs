//! A range of addresses in one subnet.

use std::fmt;
use std::net::IpAddr;

use cni::{Failure, code};
use ipnetwork::IpNetwork;

use crate::config::RangeKeys;
use crate::error::Result;

/// Consecutive addresses of one subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    /// The subnet. Its prefix length goes with each address.
    pub(crate) subnet: IpNetwork,
    /// The first address.
    pub(crate) start: IpAddr,
    /// The last address.
    pub(crate) end: IpAddr,
    /// The subnet's gateway, which need not be in the subnet.
    pub(crate) gateway: IpAddr,
}

impl Range {
    /// Checks the keys of the range at `key` of the config and completes them: by default the range is the subnet
    /// without its own address and without the broadcast address (IPv4), and the gateway is the first address. A subnet
    /// of two addresses has neither, so both are in the range (RFC 3021, RFC 6164).
    pub(crate) fn new(keys: &RangeKeys, key: &str) -> Result<Self> {
        let of_subnet = format!("{key}.subnet");
        let given = keys.subnet.as_ref().map(|subnet| subnet.0);
        let given =
            given.ok_or_else(|| Failure::new(code::INVALID_CONFIG, format!("{of_subnet} is missing")))?;
        if given.ip().to_canonical().is_ipv4() != given.is_ipv4() {
            return Err(Failure::invalid_key(
                of_subnet,
                format_args!("{given} is an IPv4 subnet in IPv6 notation; want it as IPv4"),
            ));
        }
        let subnet = network_of(given);
        let bits = if subnet.is_ipv4() { 32 } else { 128 };
        if subnet.prefix() == bits {
            return Err(Failure::invalid_key(
                of_subnet,
                format_args!("Network {subnet} too small to allocate from"),
            ));
        }
        if subnet != given {
            cni::note(format_args!("weir: {of_subnet}: {given} has host bits set; continuing with {subnet}"));
        }
        let inside = |name: &str, address: Option<IpAddr>| match address.map(|address| address.to_canonical())
        {
            Some(address) if !subnet.contains(address) => Err(Failure::invalid_value(
                format_args!("{key}.{name}"),
                address,
                format_args!("in subnet {subnet}"),
            )),
            address => Ok(address),
        };
        let first = first_usable(subnet);
        let start = inside("rangeStart", keys.range_start)?.unwrap_or(first);
        let end = inside("rangeEnd", keys.range_end)?.unwrap_or_else(|| last_usable(subnet));
        if end < start {
            return Err(Failure::invalid_key(
                format_args!("{key}.rangeEnd"),
                format_args!("{end} is before the range's start {start}"),
            ));
        }
        let gateway = keys.gateway.map_or(first, |gateway| gateway.to_canonical());
        Ok(Self { subnet, start, end, gateway })
    }

    /// Returns whether the range contains `address`.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.start <= address && address <= self.end
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.start.is_ipv4() == other.start.is_ipv4() && self.start <= other.end && other.start <= self.end
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end)
    }
}

/// Returns the next address, if there is one.
pub(crate) fn successor(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => u32::from(address).checked_add(1).map(|next| IpAddr::V4(next.into())),
        IpAddr::V6(address) => u128::from(address).checked_add(1).map(|next| IpAddr::V6(next.into())),
    }
}

fn network_of(subnet: IpNetwork) -> IpNetwork {
    IpNetwork::new(subnet.network(), subnet.prefix()).unwrap_or(subnet)
}

/// Returns whether the subnet has two addresses, as that of a point-to-point link.
fn is_of_two(subnet: IpNetwork) -> bool {
    matches!((subnet, subnet.prefix()), (IpNetwork::V4(_), 31) | (IpNetwork::V6(_), 127))
}

/// Returns the first address after the subnet's own.
fn first_usable(subnet: IpNetwork) -> IpAddr {
    let own = subnet.network();
    if is_of_two(subnet) { own } else { successor(own).unwrap_or(own) }
}

/// Returns the last address before the broadcast address.
fn last_usable(subnet: IpNetwork) -> IpAddr {
    match subnet.broadcast() {
        IpAddr::V4(broadcast) if !is_of_two(subnet) => IpAddr::V4((u32::from(broadcast) - 1).into()),
        last => last,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use cni::Cidr;
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn keys(subnet: &str) -> RangeKeys {
        RangeKeys { subnet: Some(Cidr(subnet.parse().unwrap())), ..RangeKeys::default() }
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn refused(keys: &RangeKeys) -> String {
        Range::new(keys, "ipam.ranges[0][1]").unwrap_err().to_string()
    }

    #[test]
    fn a_subnet_alone_gives_all_but_its_own_and_the_broadcast_address() {
        let range = Range::new(&keys("10.1.2.0/24"), "ipam").unwrap();
        assert_eq!(range.to_string(), "10.1.2.1-10.1.2.254");
        assert_eq!(range.gateway, IpAddr::from([10, 1, 2, 1]));
    }

    #[test]
    fn an_ipv6_subnet_has_no_broadcast_address() {
        let range = Range::new(&keys("fd00:1::/64"), "ipam").unwrap();
        assert_eq!(range.to_string(), "fd00:1::1-fd00:1::ffff:ffff:ffff:ffff");
    }

    #[test]
    fn a_subnet_with_host_bits_is_taken_as_its_network() {
        let range = Range::new(&keys("10.1.2.3/24"), "ipam").unwrap();
        assert_eq!(range, Range::new(&keys("10.1.2.0/24"), "ipam").unwrap());
    }

    #[test]
    fn a_subnet_that_is_too_small_is_named() {
        for subnet in ["10.1.2.0/32", "fd00::/128"] {
            let refused = refused(&keys(subnet));
            let want = format!("ipam.ranges[0][1].subnet: Network {subnet} too small to allocate from");
            assert_eq!(refused, want);
        }
        assert!(Range::new(&keys("10.1.2.0/30"), "ipam").is_ok());
        assert!(Range::new(&keys("fd00::/126"), "ipam").is_ok());
    }

    #[test]
    fn both_addresses_of_a_point_to_point_link_are_usable() {
        for (subnet, range, gateway) in
            [("10.1.2.6/31", "10.1.2.6-10.1.2.7", "10.1.2.6"), ("fd00::8/127", "fd00::8-fd00::9", "fd00::8")]
        {
            let found = Range::new(&keys(subnet), "ipam").unwrap();
            assert_eq!((found.to_string(), Some(found.gateway)), (range.to_owned(), address(gateway)));
        }
        let last = Range::new(&keys("255.255.255.254/31"), "ipam").unwrap();
        assert_eq!(last.to_string(), "255.255.255.254-255.255.255.255");
    }

    #[test]
    fn an_end_outside_the_subnet_is_named_with_its_key() {
        let start = RangeKeys { range_start: address("10.2.0.1"), ..keys("10.1.0.0/16") };
        assert_eq!(refused(&start), "ipam.ranges[0][1].rangeStart: 10.2.0.1 is not in subnet 10.1.0.0/16");
        let end = RangeKeys { range_end: address("fd00::1"), ..keys("10.1.0.0/16") };
        assert_eq!(refused(&end), "ipam.ranges[0][1].rangeEnd: fd00::1 is not in subnet 10.1.0.0/16");
        let backwards = RangeKeys {
            range_start: address("10.1.0.9"),
            range_end: address("10.1.0.5"),
            ..keys("10.1.0.0/16")
        };
        assert_eq!(
            refused(&backwards),
            "ipam.ranges[0][1].rangeEnd: 10.1.0.5 is before the range's start 10.1.0.9"
        );
    }

    #[test]
    fn an_ipv4_address_in_ipv6_notation_is_the_ipv4_address() {
        let range = RangeKeys { range_start: address("::ffff:10.1.0.9"), ..keys("10.1.0.0/16") };
        assert_eq!(Range::new(&range, "ipam").unwrap().start, IpAddr::from([10, 1, 0, 9]));
        assert!(refused(&keys("::ffff:10.1.0.0/112")).contains("IPv4 subnet in IPv6 notation"));
    }

    #[test]
    fn a_gateway_may_be_outside_the_subnet() {
        let keys = RangeKeys { gateway: address("10.9.0.1"), ..keys("10.1.0.0/16") };
        assert_eq!(Range::new(&keys, "ipam").unwrap().gateway, IpAddr::from([10, 9, 0, 1]));
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_lies_in_its_subnet(
            octets in any::<[u8; 16]>(), prefix in 0u8..=128, start in any::<Option<[u8; 16]>>(), six in any::<bool>(),
        ) {
            let ip = |octets: [u8; 16]| if six {
                IpAddr::from(octets)
            } else {
                IpAddr::from([octets[0], octets[1], octets[2], octets[3]])
            };
            let subnet = IpNetwork::new(ip(octets), if six { prefix } else { prefix / 4 }).unwrap();
            let keys = RangeKeys { subnet: Some(Cidr(subnet)), range_start: start.map(ip), ..RangeKeys::default() };
            if let Ok(range) = Range::new(&keys, "ipam") {
                prop_assert!(range.start <= range.end);
                prop_assert!(subnet.contains(range.start) && subnet.contains(range.end));
                prop_assert_eq!(range.subnet.prefix(), subnet.prefix());
            }
        }
    }
}
