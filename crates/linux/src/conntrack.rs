//! Connections that the kernel tracks (uapi/linux/netfilter/nfnetlink_conntrack.h), without the program `conntrack`.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;
use nix::libc;

use crate::address::ip;
use crate::contention::Attempts;
use crate::error::Result;
use crate::family::Family;
use crate::netlink::{Reply, Socket, attributes, message};

const IPCTNL_MSG_CT_GET: u16 = 1;
const IPCTNL_MSG_CT_DELETE: u16 = 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_FILTER: u16 = 25;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
/// `CTA_FILTER_FLAG(CTA_PROTO_NUM)` and `CTA_FILTER_FLAG(CTA_PROTO_DST_PORT)` of nf_conntrack_netlink.c.
const FILTER_PROTOCOL: u32 = 1 << 3;
const FILTER_DESTINATION_PORT: u32 = 1 << 5;
const NLA_F_NESTED: u16 = 0x8000;
/// Length of `struct nfgenmsg`.
const FAMILY_HEADER_LEN: usize = 4;

/// A tracked connection, in the direction of its first packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedConnection {
    /// `IPPROTO_*`
    pub protocol: u8,
    /// Where it comes from.
    pub source: IpAddr,
    /// Where its sender sends it to.
    pub destination: IpAddr,
    /// The port there.
    pub destination_port: u16,
    /// Where its answers come from: another address than `destination` if that is rewritten.
    pub answers_from: IpAddr,
    /// The port there.
    pub answers_from_port: u16,
    /// The attributes that name it to the kernel.
    name: Vec<u8>,
}

/// A netlink socket for the tracked connections of the namespace that was current when it was opened.
pub struct Conntrack {
    socket: Socket,
}

impl Conntrack {
    /// Opens a socket in the current namespace.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub fn open() -> Result<Self> {
        Ok(Self { socket: Socket::open(NETLINK_NETFILTER)? })
    }

    /// Returns the connections of `family` and `protocol`, and of the destination port `port` if there is one, that are
    /// `wanted`. As `conntrack -L -f FAMILY -p PROTOCOL --orig-port-dst PORT`.
    ///
    /// The kernel looks at the protocol and the port itself (Linux 5.8). Older ones send every connection of the
    /// family, so the reply is filtered here, too.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn list(
        &mut self,
        family: Family,
        protocol: u8,
        port: Option<u16>,
        mut wanted: impl FnMut(&TrackedConnection) -> bool,
    ) -> Result<Vec<TrackedConnection>> {
        let mut flags = FILTER_PROTOCOL;
        let mut number = attribute(CTA_PROTO_NUM, &[protocol]);
        if let Some(port) = port {
            flags |= FILTER_DESTINATION_PORT;
            number.extend(attribute(CTA_PROTO_DST_PORT, &port.to_be_bytes()));
        }
        let mut content = header(family);
        content.extend(nest(CTA_TUPLE_ORIG, &nest(CTA_TUPLE_PROTO, &number)));
        content.extend(nest(CTA_FILTER, &attribute(CTA_FILTER_ORIG_FLAGS, &flags.to_ne_bytes())));
        let mut attempts = Attempts::default();
        loop {
            let sequence = self.socket.next_sequence();
            let request = message(kind(IPCTNL_MSG_CT_GET), NLM_F_REQUEST | NLM_F_DUMP, sequence, &content);
            let mut found = Vec::new();
            let outcome = self.socket.exchange(&request, sequence, sequence, |reply| {
                let connection = TrackedConnection::parse(&reply).filter(|connection| {
                    connection.protocol == protocol
                        && port.is_none_or(|port| port == connection.destination_port)
                        && wanted(connection)
                });
                found.extend(connection);
            });
            match outcome {
                Ok(()) => return Ok(found),
                Err(failure) if failure.errno() == Some(Errno::EINTR) && attempts.next().is_some() => {}
                Err(failure) => return Err(failure.during(format_args!("list the tracked connections"))),
            }
        }
    }

    /// Deletes connections, all in one request. One that ended by itself is not an error. As `conntrack -D`.
    ///
    /// # Errors
    /// The first refusal of the kernel.
    pub fn delete(&mut self, connections: &[TrackedConnection]) -> Result<()> {
        /// A netlink message of the kernel's has room for more.
        const AT_ONCE: usize = 100;
        let operation = format_args!("delete tracked connections");
        for connections in connections.chunks(AT_ONCE) {
            let (mut bytes, mut numbers) = (Vec::new(), Vec::new());
            for (place, connection) in connections.iter().enumerate() {
                let flags =
                    if place + 1 == connections.len() { NLM_F_REQUEST | NLM_F_ACK } else { NLM_F_REQUEST };
                let number = self.socket.next_sequence();
                let family = Family::of_address(connection.destination);
                let content = [header(family), connection.name.clone()].concat();
                bytes.extend(message(kind(IPCTNL_MSG_CT_DELETE), flags, number, &content));
                numbers.push(number);
            }
            let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { return Ok(()) };
            let mut refused = None;
            let outcome = self.socket.exchange_all(&bytes, *first, *last, |_, refusal| {
                if refusal.errno != Errno::ENOENT {
                    refused.get_or_insert(refusal);
                }
            });
            outcome.map_err(|error| crate::netlink::Failure::from(error).during(operation))?;
            if let Some(refusal) = refused {
                return Err(refusal.during(operation));
            }
        }
        Ok(())
    }
}

impl TrackedConnection {
    fn parse(reply: &Reply<'_>) -> Option<Self> {
        let (mut original, mut answers, mut name) = (None, None, Vec::new());
        for found in attributes(reply.payload, FAMILY_HEADER_LEN) {
            // The crate's kinds are without the flags.
            match found.kind() {
                CTA_TUPLE_ORIG => {
                    original = Some(Tuple::parse(found.value())?);
                    name.extend(nest(CTA_TUPLE_ORIG, found.value()));
                }
                CTA_TUPLE_REPLY => answers = Some(Tuple::parse(found.value())?),
                kind @ (CTA_ID | CTA_ZONE) => name.extend(attribute(kind, found.value())),
                _ => {}
            }
        }
        let (original, answers) = (original?, answers?);
        Some(Self {
            protocol: original.protocol,
            source: original.source,
            destination: original.destination,
            destination_port: original.destination_port,
            answers_from: answers.source,
            answers_from_port: answers.source_port,
            name,
        })
    }
}

/// One direction of a connection.
struct Tuple {
    protocol: u8,
    source: IpAddr,
    destination: IpAddr,
    source_port: u16,
    destination_port: u16,
}

impl Tuple {
    fn parse(tuple: &[u8]) -> Option<Self> {
        let (mut source, mut destination, mut protocol) = (None, None, None);
        let (mut source_port, mut destination_port) = (0, 0);
        let port = |value: &[u8]| value.try_into().map_or(0, u16::from_be_bytes);
        for part in attributes(tuple, 0) {
            for field in attributes(part.value(), 0) {
                match (part.kind(), field.kind()) {
                    (CTA_TUPLE_IP, CTA_IP_V4_SRC | CTA_IP_V6_SRC) => source = ip(field.value()),
                    (CTA_TUPLE_IP, CTA_IP_V4_DST | CTA_IP_V6_DST) => destination = ip(field.value()),
                    (CTA_TUPLE_PROTO, CTA_PROTO_NUM) => protocol = field.value().first().copied(),
                    (CTA_TUPLE_PROTO, CTA_PROTO_SRC_PORT) => source_port = port(field.value()),
                    (CTA_TUPLE_PROTO, CTA_PROTO_DST_PORT) => destination_port = port(field.value()),
                    _ => {}
                }
            }
        }
        let (source, destination) = (source?, destination?);
        Some(Self { protocol: protocol?, source, destination, source_port, destination_port })
    }
}

fn kind(message: u16) -> u16 {
    u16::try_from(libc::NFNL_SUBSYS_CTNETLINK).unwrap_or_default() << 8 | message
}

/// `struct nfgenmsg`
fn header(family: Family) -> Vec<u8> {
    let family = match family {
        Family::V4 => libc::AF_INET,
        Family::V6 => libc::AF_INET6,
    };
    vec![u8::try_from(family).unwrap_or_default(), 0, 0, 0]
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn nest(kind: u16, content: &[u8]) -> Vec<u8> {
    attribute(kind | NLA_F_NESTED, content)
}

/// Returns whether the kernel tracks connections of SCTP. Asks for a parameter that exists with it.
pub fn tracks_sctp() -> bool {
    crate::sysctl::get("net/netfilter/nf_conntrack_sctp_timeout_established").is_ok()
}
