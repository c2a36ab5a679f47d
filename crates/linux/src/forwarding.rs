//! Packet forwarding of a namespace.

use netlink_packet_route::AddressFamily;
use nix::libc::{RTM_GETNETCONF, RTM_NEWNETCONF};

use crate::constants::{NETCONFA_FORWARDING, NETCONFA_IFINDEX, NETCONFA_IFINDEX_ALL, NETCONFMSG_LEN};
use crate::family::Family;
use crate::netlink::{attributes, read_u32};
use crate::rtnetlink::Rtnetlink;

impl Rtnetlink {
    /// Returns whether the socket's namespace forwards packets of `family`; `false` also where the kernel does not
    /// say (before Linux 3.8).
    ///
    /// As `ip [-6] netconf show dev all`. Reading `net.ipv6.conf.all.forwarding` costs more the more namespaces there
    /// are: the kernel searches all of their parameters of that name.
    pub fn forwards(&mut self, family: Family) -> bool {
        // struct netconfmsg, padded, and an attribute
        let mut request = [u8::from(AddressFamily::from(family)), 0, 0, 0].to_vec();
        request.extend(8u16.to_ne_bytes());
        request.extend(NETCONFA_IFINDEX.to_ne_bytes());
        request.extend(NETCONFA_IFINDEX_ALL.to_ne_bytes());
        let mut on = false;
        let outcome = self.attempt_raw(RTM_GETNETCONF, 0, &request, |reply| {
            if reply.kind == RTM_NEWNETCONF {
                on = attributes(reply.payload, NETCONFMSG_LEN)
                    .find(|attribute| attribute.kind() == NETCONFA_FORWARDING)
                    .and_then(|attribute| read_u32(attribute.value()))
                    .is_some_and(|value| value != 0);
            }
        });
        outcome.is_ok() && on
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::new_namespace;

    #[test]
    fn forwarding_is_read_as_the_kernel_parameters_show_it() {
        let mut rtnetlink = new_namespace();
        for (family, key) in
            [(Family::V4, "net/ipv4/ip_forward"), (Family::V6, "net/ipv6/conf/all/forwarding")]
        {
            for value in ["1", "0", "1"] {
                crate::sysctl::ensure(key, value).unwrap();
                assert_eq!(rtnetlink.forwards(family), value == "1", "{key}");
            }
        }
    }
}
