//! Whether a namespace forwards packets.

use crate::constants::{NETCONFA_FORWARDING, NETCONFA_IFINDEX, NETCONFA_IFINDEX_ALL, NETCONFMSG_LEN};
use crate::netlink::{attributes, read_u32, request_flags};
use crate::route::Family;
use crate::rtnetlink::Rtnetlink;
use nix::libc::{RTM_GETNETCONF, RTM_NEWNETCONF};

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

impl Rtnetlink {
    /// Whether the socket's namespace forwards packets of `family`. `false` also where the kernel does not say
    /// (before Linux 3.8).
    ///
    /// As `ip [-6] netconf show dev all`, or `sysctl net.ipv6.conf.all.forwarding`, which costs more the more namespaces
    /// there are: the kernel looks through all of their parameters of that name.
    pub fn forwards(&mut self, family: Family) -> bool {
        let sequence = self.socket.next_sequence();
        let mut on = false;
        let outcome = self.socket.exchange(&message(family, sequence), sequence, sequence, |reply| {
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

/// By hand: netlink-packet-route has no `RTM_GETNETCONF`.
fn message(family: Family, sequence: u32) -> Vec<u8> {
    /// `struct nlmsghdr`, `struct netconfmsg` and an attribute.
    const LENGTH: u32 = 16 + 4 + 8;
    let family = match family {
        Family::V4 => AF_INET,
        Family::V6 => AF_INET6,
    };
    let mut bytes = LENGTH.to_ne_bytes().to_vec();
    bytes.extend(RTM_GETNETCONF.to_ne_bytes());
    bytes.extend(request_flags(0).to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend([family, 0, 0, 0]);
    bytes.extend(8u16.to_ne_bytes());
    bytes.extend(NETCONFA_IFINDEX.to_ne_bytes());
    bytes.extend(NETCONFA_IFINDEX_ALL.to_ne_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use nix::sched::{CloneFlags, unshare};

    use super::*;

    #[test]
    fn what_the_kernel_parameters_say_is_seen() {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let mut rtnetlink = Rtnetlink::open().unwrap();
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
