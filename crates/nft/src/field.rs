//! Fields: what a rule can load of a packet, its metadata and its connection.

use std::net::IpAddr;

use linux::Family;
use nix::libc;

use crate::attributes::Attributes;
use crate::constants::*;

/// Bits of [`Field::ConnectionState`] (`NF_CT_STATE_BIT` of uapi/linux/netfilter/nf_conntrack_common.h).
pub mod ct_state {
    /// `invalid`
    pub const INVALID: u32 = 1;
    /// `established`
    pub const ESTABLISHED: u32 = 1 << 1;
    /// `related`
    pub const RELATED: u32 = 1 << 2;
    /// `new`
    pub const NEW: u32 = 1 << 3;
}

/// Bits of [`Field::ConnectionStatus`] (`enum ip_conntrack_status`).
pub mod ct_status {
    /// `snat`: the source is rewritten.
    pub const SOURCE_NAT: u32 = 1 << 4;
    /// `dnat`: the destination is rewritten.
    pub const DESTINATION_NAT: u32 = 1 << 5;
}

/// An end of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// `saddr`, `sport`
    Source,
    /// `daddr`, `dport`
    Destination,
}

/// A field that a rule loads. Numbers are in the host's byte order unless noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `iif`: the index of the link that the packet came in by, four bytes.
    InputLink,
    /// `iifname`: its name, 16 bytes.
    InputLinkName,
    /// `oifname`: the name of the link that the packet goes out of, 16 bytes.
    OutputLinkName,
    /// `meta protocol`: an `ETH_P_*` in network order, two bytes. Of a frame with one VLAN tag, the protocol behind the tag.
    Protocol,
    /// `meta nfproto`: `NFPROTO_*`, one byte.
    NetworkProtocol,
    /// `meta l4proto`: `IPPROTO_*`, one byte.
    TransportProtocol,
    /// `meta mark`: four bytes.
    Mark,
    /// `ip saddr`, `ip6 daddr`, …
    Address(Family, Side),
    /// `ether saddr`: six bytes.
    SourceHardwareAddress,
    /// `@nh,OFFSET,8`: one byte of the network header, or of what follows it.
    NetworkByte(u32),
    /// `th sport`, `th dport`: of TCP, UDP or SCTP, two bytes in network order.
    Port(Side),
    /// `ct state`: [`ct_state`], four bytes.
    ConnectionState,
    /// `ct status`: [`ct_status`], four bytes.
    ConnectionStatus,
    /// `ct direction`: 0 is the direction of the connection's first packet, 1 that of the replies; one byte.
    ConnectionDirection,
    /// `ct mark`: four bytes.
    ConnectionMark,
    /// `fib daddr type`: what the destination is to this host, `RTN_*` of uapi/linux/rtnetlink.h; four bytes.
    DestinationType,
}

impl Field {
    /// Returns its length in bytes.
    pub(crate) fn length(self) -> u32 {
        match self {
            Self::InputLinkName | Self::OutputLinkName => 16,
            Self::Address(family, _) => family.address_len(),
            Self::SourceHardwareAddress => 6,
            Self::Protocol | Self::Port(_) => 2,
            Self::NetworkProtocol
            | Self::TransportProtocol
            | Self::NetworkByte(_)
            | Self::ConnectionDirection => 1,
            _ => 4,
        }
    }

    /// Returns the name of the expression that loads it.
    pub(crate) fn expression(self) -> &'static str {
        match self {
            Self::Address(..) | Self::SourceHardwareAddress | Self::NetworkByte(_) | Self::Port(_) => {
                "payload"
            }
            Self::ConnectionState
            | Self::ConnectionStatus
            | Self::ConnectionDirection
            | Self::ConnectionMark => "ct",
            Self::DestinationType => "fib",
            _ => "meta",
        }
    }

    /// Appends the attributes of that expression.
    pub(crate) fn load(self, register: u32, data: &mut Attributes<'_>) {
        let mut meta = |key: i32| {
            data.number(NFTA_META_KEY, key.cast_unsigned());
            data.number(NFTA_META_DREG, register);
        };
        match self {
            Self::InputLink => meta(libc::NFT_META_IIF),
            Self::InputLinkName => meta(libc::NFT_META_IIFNAME),
            Self::OutputLinkName => meta(libc::NFT_META_OIFNAME),
            Self::Protocol => meta(libc::NFT_META_PROTOCOL),
            Self::NetworkProtocol => meta(libc::NFT_META_NFPROTO),
            Self::TransportProtocol => meta(libc::NFT_META_L4PROTO),
            Self::Mark => meta(libc::NFT_META_MARK),
            Self::ConnectionState => ct(data, register, libc::NFT_CT_STATE),
            Self::ConnectionStatus => ct(data, register, libc::NFT_CT_STATUS),
            Self::ConnectionDirection => ct(data, register, libc::NFT_CT_DIRECTION),
            Self::ConnectionMark => ct(data, register, libc::NFT_CT_MARK),
            Self::DestinationType => {
                data.number(NFTA_FIB_DREG, register);
                data.number(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
                data.number(NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
            }
            Self::Address(family, side) => {
                let offset = match (family, side) {
                    (Family::V4, Side::Source) => 12,
                    (Family::V4, Side::Destination) => 16,
                    (Family::V6, Side::Source) => 8,
                    (Family::V6, Side::Destination) => 24,
                };
                payload(data, register, libc::NFT_PAYLOAD_NETWORK_HEADER, offset, self.length());
            }
            Self::NetworkByte(offset) => {
                payload(data, register, libc::NFT_PAYLOAD_NETWORK_HEADER, offset, self.length());
            }
            Self::SourceHardwareAddress => {
                payload(data, register, libc::NFT_PAYLOAD_LL_HEADER, 6, self.length());
            }
            Self::Port(side) => {
                let offset = if side == Side::Source { 0 } else { 2 };
                payload(data, register, libc::NFT_PAYLOAD_TRANSPORT_HEADER, offset, self.length());
            }
        }
    }
}

/// Returns an address as a packet carries it.
pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn ct(data: &mut Attributes<'_>, register: u32, key: i32) {
    data.number(NFTA_CT_KEY, key.cast_unsigned());
    data.number(NFTA_CT_DREG, register);
}

fn payload(data: &mut Attributes<'_>, register: u32, base: i32, offset: u32, length: u32) {
    data.number(NFTA_PAYLOAD_DREG, register);
    data.number(NFTA_PAYLOAD_BASE, base.cast_unsigned());
    data.number(NFTA_PAYLOAD_OFFSET, offset);
    data.number(NFTA_PAYLOAD_LEN, length);
}
