//! The hardware address of a pod's end.

use std::net::IpAddr;

use cni::Request;
use linux::Mac;

use crate::addressing::Addressing;
use crate::digest::mac;
use crate::node_id::node_id;

/// Returns the hardware address of a pod for which no other was requested. It follows from the node, the network and
/// the pod's first address: neighbours that knew a former pod of that address reach the new one at once.
///
/// With a random address they send to the former pod's for 8 to 53 s (a reachable time of 15 to 45 s, which may be
/// over, then a delay of 5 s and three probes; RFC 4861, section 10, and ARP in Linux), unless the new pod sends first
/// or its announcement gets through. The kernel's announcement (`arp_notify`) is a frame to every pod on the bridge,
/// sent while the interface goes up, and on a quiet node the bridge drops it: the port's carrier comes later.
///
/// Two pods have the same hardware address only where they have the same IP address in one network on one node. The
/// node counts because nodes that give out the same subnet by mistake may be on one LAN: a duplicate IP address is
/// reported there, a duplicate hardware address only confuses the switches. A pod without an IP address has a random
/// hardware address.
pub(crate) fn following(request: &Request, addressing: &Addressing) -> Mac {
    match addressing.ips.first() {
        Some(ip) => of(&node_id(), &request.network, ip.address.ip()),
        None => Mac::random(),
    }
}

/// Returns the hardware address of a pod before its IP addresses are known. It follows from the attachment: an IPAM
/// plugin that goes by it, such as a DHCP server, knows an attachment that is made again.
pub(crate) fn of_attachment(request: &Request) -> Mac {
    mac(&[&request.network, request.container_id(), request.interface()], &[])
}

fn of(node: &str, network: &str, address: IpAddr) -> Mac {
    match address {
        IpAddr::V4(address) => mac(&[node, network], &address.octets()),
        IpAddr::V6(address) => mac(&[node, network], &address.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_node_network_or_address_is_another_hardware_address() {
        let of = |node: &str, network: &str, address: &str| of(node, network, address.parse().unwrap());
        let one = of("node", "pods", "10.1.2.3");
        assert_eq!(one, of("node", "pods", "10.1.2.3"));
        assert_ne!(one, of("node", "pods", "10.1.2.4"));
        assert_ne!(one, of("node", "others", "10.1.2.3"));
        assert_ne!(one, of("other", "pods", "10.1.2.3"));
        assert_ne!(one, of("node", "pods", "fd00::3"));
        assert!(one.is_assignable());
    }
}
