//! Multicast groups of links.

use std::net::{IpAddr, Ipv6Addr};

use netlink_packet_core::NLM_F_DUMP;
use netlink_packet_route::AddressFamily;
use nix::libc::{IFA_MULTICAST, RTM_GETMULTICAST};

use crate::address::ip;
use crate::constants::IFADDRMSG_LEN;
use crate::error::Result;
use crate::netlink::{attributes, read_u32};
use crate::rtnetlink::Rtnetlink;

impl Rtnetlink {
    /// Returns the IPv6 multicast groups that a link has joined. As `ip -6 maddress show dev NAME`.
    pub(crate) fn multicast_groups(&mut self, link: u32) -> Result<Vec<Ipv6Addr>> {
        // struct ifaddrmsg
        let mut request = [u8::from(AddressFamily::Inet6), 0, 0, 0].to_vec();
        request.extend(link.to_ne_bytes());
        let mut groups = Vec::new();
        let outcome = self.attempt_raw(RTM_GETMULTICAST, NLM_F_DUMP, &request, |reply| {
            if reply.kind != RTM_GETMULTICAST || reply.payload.get(4..).and_then(read_u32) != Some(link) {
                return;
            }
            for attribute in attributes(reply.payload, IFADDRMSG_LEN) {
                if let (IFA_MULTICAST, Some(IpAddr::V6(group))) = (attribute.kind(), ip(attribute.value())) {
                    groups.push(group);
                }
            }
        });
        outcome
            .map_err(|failure| failure.during(format_args!("list the multicast groups of link {link}")))?;
        Ok(groups)
    }
}

/// Returns the solicited-node multicast address of `address` (RFC 4291, section 2.7.1).
pub(crate) fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DuplicateDetection;
    use crate::testing::{bridge, new_namespace};

    #[test]
    fn the_group_of_an_address_is_the_links() {
        let mut rtnetlink = new_namespace();
        let bridge = bridge(&mut rtnetlink, "br0").index;
        let address: Ipv6Addr = "fd00::12:3456".parse().unwrap();
        rtnetlink.add_address(bridge, IpAddr::from(address).into(), DuplicateDetection::Skip).unwrap();
        let mut has_group = || {
            let groups = rtnetlink.multicast_groups(bridge).unwrap();
            groups.contains(&"ff02::1:ff12:3456".parse().unwrap())
        };
        // A work queue of the kernel's joins it.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !has_group() {
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
        assert_eq!(solicited_node(address), "ff02::1:ff12:3456".parse::<Ipv6Addr>().unwrap());
        assert_eq!(rtnetlink.multicast_groups(4711).unwrap_or_default(), [] as [Ipv6Addr; 0]);
    }
}
