//! The subnets that pods live in, and the names of what the table holds for each.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use linux::Family;

/// What is never masqueraded, because the answers would not come back: 224.0.0.0/4, ff00::/8.
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

/// A subnet of pods: inside it they keep their addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet(IpNetwork);

impl Subnet {
    /// The subnet of a pod's address with its prefix length.
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

    /// A prefix of all bits: the pod alone is its subnet, so nothing is kept from masquerading and all such
    /// pods share one set.
    pub fn is_host(self) -> bool {
        u32::from(self.0.prefix()) == self.family().address_len() * 8
    }

    /// The set of the pods' addresses, `pods-10.88.0.0/16`.
    pub fn pods(self) -> String {
        if self.is_host() { format!("pods-{}-hosts", keyword(self.family())) } else { format!("pods-{self}") }
    }

    /// The chain that decides about the pods' packets, `from-10.88.0.0/16`.
    pub fn chain(self) -> String {
        format!("from-{self}")
    }

    /// The map that sends packets from subnets of this prefix length to their chain, `subnets-ipv4-16`.
    pub fn dispatch(self) -> String {
        format!("subnets-{}-{}", keyword(self.family()), self.0.prefix())
    }
}

/// As nft allows it in a name: there is no colon among its letters.
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
