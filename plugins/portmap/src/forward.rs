//! One forwarded port, and its elements in the table.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use linux::Family;
use nft::{Claim, Digest, Element, octets};

use crate::table::{self, Maps};

/// The prefix length of 127.0.0.0/8.
const LOOPBACK_PREFIX: u8 = 8;

/// A port of the host that leads to a port of a pod, for one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forward {
    /// The host's address; none for all of its addresses of the family.
    pub host: Option<IpAddr>,
    /// `IPPROTO_*`.
    pub protocol: u8,
    pub host_port: u16,
    /// The pod's address with its subnet's prefix length.
    pub pod: IpNetwork,
    pub container_port: u16,
    /// The sources that are masqueraded.
    pub sources: Sources,
    /// Names the conditions that a packet must fulfil; 0 for none.
    pub conditions: u32,
}

/// The sources that reach the pod with the node's address, because answers would not come back otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sources {
    /// The pod itself and the others of its subnet.
    pub subnet: bool,
    /// All of them.
    pub all: bool,
    /// 127.0.0.0/8: the port is forwarded there, too.
    pub loopback: bool,
}

impl Forward {
    pub fn family(&self) -> Family {
        Family::of_address(self.pod.ip())
    }

    /// Returns whether both are the same port of the host.
    pub fn is_same_port(&self, other: &Self) -> bool {
        self.key() == other.key()
    }

    /// Returns the key of the map of holders: address (IPv4 mapped, unspecified for all), protocol, port, conditions.
    fn key(&self) -> Vec<u8> {
        let address = mapped(self.host.unwrap_or_else(|| self.family().unspecified()));
        [&address.octets()[..], &self.protocol_and_port(), &self.conditions.to_ne_bytes()].concat()
    }

    /// Returns the elements of the host's port for the pod of `owner`.
    pub fn port_claim(&self, owner: Digest) -> Claim {
        let holder = Element::new(table::HOLDERS, self.key()).with_data(owner.0);
        let pod = [&octets(self.pod.ip())[..], &padded(self.container_port)].concat();
        let maps = Maps { family: self.family(), conditions: self.conditions };
        let port = self.protocol_and_port();
        let mut elements = match self.host {
            Some(host) => vec![Element::new(maps.hosts(), [&octets(host)[..], &port].concat())],
            None => vec![Element::new(maps.ports(), port)],
        };
        if self.host.is_none() && self.sources.loopback {
            elements.push(Element::new(maps.loopback(), port));
        }
        let elements = elements.into_iter().map(|element| element.with_data(pod.clone())).collect();
        Claim { holder, elements }
    }

    /// Returns the elements of the pod's port, by which sources are masqueraded. Several of the host's ports may lead
    /// there.
    pub fn pod_claim(&self, owner: Digest) -> Claim {
        let (protocol, port) = ([self.protocol, 0, 0, 0], padded(self.container_port));
        let key = [&mapped(self.pod.ip()).octets()[..], &protocol, &port].concat();
        let pod = octets(self.pod.ip());
        let masqueraded = |source: IpNetwork| {
            let key = [&octets(source.network())[..], &protocol, &pod, &port].concat();
            Element::new(table::masquerade_set(source), key)
        };
        let elements = self.masqueraded().into_iter().map(masqueraded).collect();
        Claim { holder: Element::new(table::PODS, key).with_data(owner.0), elements }
    }

    /// Returns the prefixes of the sources that are masqueraded.
    pub fn masqueraded(&self) -> Vec<IpNetwork> {
        let Sources { subnet, all, loopback } = self.sources;
        let prefix = |address, length| IpNetwork::new(address, length).ok();
        if all {
            return prefix(self.family().unspecified(), 0).into_iter().collect();
        }
        let subnet = if subnet { prefix(self.pod.network(), self.pod.prefix()) } else { None };
        let loopback = if loopback { prefix([127, 0, 0, 0].into(), LOOPBACK_PREFIX) } else { None };
        subnet.into_iter().chain(loopback).collect()
    }

    fn protocol_and_port(&self) -> [u8; 8] {
        let [high, low] = self.host_port.to_be_bytes();
        [self.protocol, 0, 0, 0, high, low, 0, 0]
    }

    /// Returns the bytes that [`Forward::read`] reads.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Sources { subnet, all, loopback } = self.sources;
        let flags = [self.pod.is_ipv6(), self.host.is_some(), subnet, all, loopback];
        let flags = flags.iter().enumerate().fold(0, |flags, (bit, is_set)| flags | u8::from(*is_set) << bit);
        let mut bytes = vec![flags, self.protocol, self.pod.prefix()];
        bytes.extend(self.host_port.to_be_bytes());
        bytes.extend(self.container_port.to_be_bytes());
        bytes.extend(self.conditions.to_be_bytes());
        bytes.extend(octets(self.pod.ip()));
        bytes.extend(self.host.map(octets).unwrap_or_default());
        bytes
    }

    /// Reads the first of the ports in `bytes`, and returns the rest.
    pub fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let ([flags, protocol, prefix, host_high, host_low, pod_high, pod_low, conditions @ ..], rest) =
            bytes.split_first_chunk::<11>()?;
        let is_set = |bit: u8| flags & 1 << bit != 0;
        let (pod, rest) = read_address(rest, is_set(0))?;
        let (host, rest) = match is_set(1) {
            true => read_address(rest, is_set(0)).map(|(host, rest)| (Some(host), rest))?,
            false => (None, rest),
        };
        let forward = Self {
            host,
            protocol: *protocol,
            host_port: u16::from_be_bytes([*host_high, *host_low]),
            pod: IpNetwork::new(pod, *prefix).ok()?,
            container_port: u16::from_be_bytes([*pod_high, *pod_low]),
            sources: Sources { subnet: is_set(2), all: is_set(3), loopback: is_set(4) },
            conditions: u32::from_be_bytes(*conditions),
        };
        Some((forward, rest))
    }

    /// Returns "TCP port 8080 of 192.0.2.1", as sentences name it.
    pub fn name(&self) -> String {
        let protocol = match i32::from(self.protocol) {
            nix::libc::IPPROTO_UDP => "UDP",
            nix::libc::IPPROTO_SCTP => "SCTP",
            _ => "TCP",
        };
        let host = match (self.host, self.family()) {
            (Some(host), _) => host.to_string(),
            (None, Family::V4) => "all IPv4 addresses".to_owned(),
            (None, Family::V6) => "all IPv6 addresses".to_owned(),
        };
        format!("{protocol} port {} of {host}", self.host_port)
    }
}

fn read_address(bytes: &[u8], is_v6: bool) -> Option<(IpAddr, &[u8])> {
    if is_v6 {
        let (address, rest) = bytes.split_first_chunk::<16>()?;
        return Some((Ipv6Addr::from(*address).into(), rest));
    }
    let (address, rest) = bytes.split_first_chunk::<4>()?;
    Some((Ipv4Addr::from(*address).into(), rest))
}

/// An address of either family in a key of both.
fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// A port as a field of several: filled up to a word.
fn padded(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn forward(host: Option<&str>, pod: &str) -> Forward {
        Forward {
            host: host.map(|host| host.parse().unwrap()),
            protocol: 17,
            host_port: 8053,
            pod: pod.parse().unwrap(),
            container_port: 53,
            sources: Sources { subnet: true, all: false, loopback: host.is_none() },
            conditions: 7,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let forwards = [
            forward(None, "10.1.0.7/24"),
            forward(Some("192.0.2.1"), "10.1.0.7/24"),
            forward(Some("2001:db8::1"), "fd00::7/64"),
        ];
        let bytes: Vec<u8> = forwards.iter().flat_map(Forward::to_bytes).collect();
        let mut rest = &bytes[..];
        for forward in &forwards {
            let (read, after) = Forward::read(rest).unwrap();
            assert_eq!(&read, forward);
            rest = after;
        }
        assert_eq!(Forward::read(rest), None);
        assert_eq!(Forward::read(&bytes[..12]), None);
    }
}
