//! Which hardware address a pod's end has.

use std::net::IpAddr;

use cni::Request;
use linux::Mac;
use sha2::{Digest, Sha512};

use crate::addressing::Addressing;

/// The hardware address of a pod for whom nobody asked for another: it follows from the network and the pod's first
/// address. Neighbours that knew a former pod of that address reach the new one at once, by what they have cached.
///
/// With a random one they send to the former pod's for 8 to 53 s (a reachable time of 15 to 45 s, which may be over,
/// then a delay of 5 s and three probes; RFC 4861, section 10, and ARP in Linux), unless the new one says something or
/// its announcement gets through. The kernel's (`arp_notify`) is a frame to every pod on the bridge, sent while the
/// interface goes up, and on a quiet node the bridge drops it: the port's carrier comes later.
///
/// Two pods have the same hardware address only where two have the same IP address on one network. A pod without
/// an IP address has a random one.
pub(crate) fn following(request: &Request, addressing: &Addressing) -> Mac {
    match addressing.ips.first() {
        Some(ip) => of(&request.network, ip.address.ip()),
        None => Mac::random(),
    }
}

fn of(network: &str, address: IpAddr) -> Mac {
    let mut hash = Sha512::new();
    hash.update(network.as_bytes());
    hash.update([0]);
    match address {
        IpAddr::V4(address) => hash.update(address.octets()),
        IpAddr::V6(address) => hash.update(address.octets()),
    }
    let mut mac = [0; 6];
    mac.copy_from_slice(&hash.finalize()[..6]);
    Mac::local(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_network_or_address_is_another_hardware_address() {
        let of = |network: &str, address: &str| of(network, address.parse().unwrap());
        let one = of("pods", "10.1.2.3");
        assert_eq!(one, of("pods", "10.1.2.3"));
        assert_ne!(one, of("pods", "10.1.2.4"));
        assert_ne!(one, of("others", "10.1.2.3"));
        assert_ne!(one, of("pods", "fd00::3"));
        assert!(one.is_assignable());
    }
}
