//! Addresses of links.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use nix::errno::Errno;
use nix::libc::{IFA_ADDRESS, IFA_F_DADFAILED, IFA_F_TENTATIVE, IFA_FLAGS, IFA_LOCAL, RTM_NEWADDR};

use crate::change::Change;
use crate::constants::IFADDRMSG_LEN;
use crate::error::Result;
use crate::family::Family;
use crate::feature::Feature;
use crate::netlink::{Reply, attributes, read_u32};
use crate::rtnetlink::Rtnetlink;

/// Whether an IPv6 address is probed for another owner before it can be used (RFC 4862, section 5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DuplicateDetection {
    /// Usable at once (`nodad`).
    Skip,
    /// Tentative until no probe was answered.
    Run,
}

/// An address of a link as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkAddress {
    /// The address with its prefix length.
    pub network: IpNetwork,
    /// Duplicate address detection has not ended yet.
    pub tentative: bool,
    /// Duplicate address detection found another owner.
    pub duplicate: bool,
}

impl LinkAddress {
    /// Reads a reply; returns the index of the link, and the address.
    fn parse(reply: &Reply<'_>) -> Option<(u32, Self)> {
        if reply.kind != RTM_NEWADDR {
            return None;
        }
        let link = read_u32(reply.payload.get(4..)?)?;
        let prefix = *reply.payload.get(1)?;
        let mut flags = u32::from(*reply.payload.get(2)?);
        let (mut address, mut local) = (None, None);
        for attribute in attributes(reply.payload, IFADDRMSG_LEN) {
            match attribute.kind() {
                IFA_ADDRESS => address = ip(attribute.value()),
                IFA_LOCAL => local = ip(attribute.value()),
                IFA_FLAGS => flags = read_u32(attribute.value())?,
                _ => {}
            }
        }
        let address = Self {
            network: IpNetwork::new(local.or(address)?, prefix).ok()?,
            tentative: flags & IFA_F_TENTATIVE != 0,
            duplicate: flags & IFA_F_DADFAILED != 0,
        };
        Some((link, address))
    }
}

pub(crate) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

impl Change {
    /// Adds an address to a link; one that the link has already is not an error.
    ///
    /// As `ip address add ADDRESS/PREFIX broadcast + dev NAME [nodad]`.
    pub fn add_address(link: u32, address: IpNetwork, dad: DuplicateDetection) -> Self {
        let mut message = address_message(link, address);
        match address {
            IpNetwork::V4(v4) if v4.prefix() < 31 => {
                message.attributes.push(AddressAttribute::Broadcast(v4.broadcast()));
            }
            IpNetwork::V6(_) if dad == DuplicateDetection::Skip => {
                message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
            }
            _ => {}
        }
        let request = RouteNetlinkMessage::NewAddress(message);
        let change = Self::new(request, NLM_F_CREATE | NLM_F_EXCL, link, move |name| {
            format!("add address {address} to {name}")
        })
        .ignoring(&[Errno::EEXIST]);
        if address.is_ipv6() { change.needing(Feature::Ipv6, &[Errno::EOPNOTSUPP]) } else { change }
    }
}

impl Rtnetlink {
    /// Adds an address to a link. Returns `false` when the link has exactly this address already.
    ///
    /// As `ip address add ADDRESS/PREFIX broadcast + dev NAME [nodad]`.
    ///
    /// # Errors
    /// The kernel's refusal; [`Error::MissingFeature`](crate::Error::MissingFeature) when it has no IPv6.
    pub fn add_address(&mut self, link: u32, address: IpNetwork, dad: DuplicateDetection) -> Result<bool> {
        let change = Change::add_address(link, address, dad);
        match self.attempt(change.request.clone(), change.flags, |_| {}) {
            Ok(()) => Ok(true),
            Err(failure) if failure.errno() == Some(Errno::EEXIST) => Ok(false),
            Err(failure) => Err(change.error(self, failure)),
        }
    }

    /// Removes an address from a link. An absent address is not an error. As `ip address delete`.
    ///
    /// # Errors
    /// Any refusal but "no such address" and "no such device".
    pub fn delete_address(&mut self, link: u32, address: IpNetwork) -> Result<()> {
        let message = address_message(link, address);
        let deletion = Change::new(RouteNetlinkMessage::DelAddress(message), 0, link, move |name| {
            format!("delete address {address} from {name}")
        });
        self.apply(&[deletion.ignoring(&[Errno::EADDRNOTAVAIL, Errno::ENODEV])])
    }

    /// Returns the addresses of one link, of both families; none of an absent link. As `ip address show dev NAME`.
    ///
    /// The kernel filters by the link (strict checking, Linux 4.20). Older kernels send every address, so the reply
    /// is filtered here too.
    ///
    /// # Errors
    /// Any refusal but "no such device".
    pub fn addresses(&mut self, link: u32) -> Result<Vec<LinkAddress>> {
        match self.list_addresses(link, AddressMessage::default()) {
            Err(error) if error.errno() == Some(Errno::ENODEV) => Ok(Vec::new()),
            listed => listed,
        }
    }

    /// Returns the addresses of one link, in the namespace that `message` names.
    pub(crate) fn list_addresses(
        &mut self,
        link: u32,
        mut message: AddressMessage,
    ) -> Result<Vec<LinkAddress>> {
        message.header.index = link;
        let operation = format_args!("list the addresses of link {link}");
        self.dump(RouteNetlinkMessage::GetAddress(message), operation, |reply| {
            LinkAddress::parse(reply).filter(|(index, _)| *index == link).map(|(_, address)| address)
        })
    }

    /// Returns the addresses of every link with the link's index. As `ip address show`.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn all_addresses(&mut self) -> Result<Vec<(u32, LinkAddress)>> {
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        self.dump(request, format_args!("list the addresses of all links"), LinkAddress::parse)
    }
}

fn address_message(link: u32, address: IpNetwork) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = Family::of_address(address.ip()).into();
    message.header.prefix_len = address.prefix();
    message.header.scope =
        if address.ip().is_loopback() { AddressScope::Host } else { AddressScope::Universe };
    message.header.index = link;
    message.attributes.push(AddressAttribute::Local(address.ip()));
    message.attributes.push(AddressAttribute::Address(address.ip()));
    message
}
