//! The subnets of pods, and the names of their objects in the table.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use linux::Family;

/// Returns the destinations that are never masqueraded, because no answers would come back: 224.0.0.0/4, ff00::/8.
pub fn multicast(family: Family) -> IpNetwork {
    let prefix = match family {
        Family::V4 => IpNetwork::new(Ipv4Addr::new(224, 0, 0, 0).into(), 4),
        Family::V6 => IpNetwork::new(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0).into(), 8),
    };
    prefix.unwrap_or_else(|_| family.unspecified().into())
}

fn keyword(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

/// A subnet of pods. Inside it they keep their addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet(IpNetwork);

impl Subnet {
    /// Returns the subnet of a pod's address with its prefix length.
    pub fn of(pod: IpNetwork) -> Self {
        // The prefix length is valid for the family, so the other arm never runs.
        Self(IpNetwork::new(pod.network(), pod.prefix()).unwrap_or(pod))
    }

    pub fn family(self) -> Family {
        Family::of_address(self.0.ip())
    }

    pub fn network(self) -> IpNetwork {
        self.0
    }

    /// Returns whether the prefix has all bits. Then the pod is alone in its subnet, nothing is exempt, and all such pods
    /// share one set.
    pub fn is_host(self) -> bool {
        u32::from(self.0.prefix()) == self.family().address_len() * 8
    }

    /// Returns the name of the set of the pods' addresses, `pods-10.88.0.0/16`.
    pub fn pods(self) -> String {
        if self.is_host() { format!("pods-{}-hosts", keyword(self.family())) } else { format!("pods-{self}") }
    }

    /// Returns the name of the chain for the pods' packets, `from-10.88.0.0/16`.
    pub fn chain(self) -> String {
        format!("from-{self}")
    }

    /// Returns the name of the map from subnets of this prefix length to their chains, `subnets-ipv4-16`.
    pub fn dispatch(self) -> String {
        format!("subnets-{}-{}", keyword(self.family()), self.0.prefix())
    }
}

/// In names of nf_tables, `nft` allows no colons.
impl std::fmt::Display for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.to_string().replace(':', "_"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_identifiers_of_nft() {
        let subnet = |text: &str| Subnet::of(text.parse().unwrap());
        assert_eq!(subnet("10.88.0.5/16").pods(), "pods-10.88.0.0/16");
        assert_eq!(subnet("10.88.0.5/16").chain(), "from-10.88.0.0/16");
        assert_eq!(subnet("10.88.0.5/16").dispatch(), "subnets-ipv4-16");
        assert_eq!(subnet("fd00:1::5/64").chain(), "from-fd00_1__/64");
        assert_eq!(subnet("fd00:1::5/128").pods(), "pods-ipv6-hosts");
    }
}
