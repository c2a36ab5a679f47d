//! Links, as the kernel shows them.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage};
use nix::errno::Errno;
use nix::libc::{
    IFLA_ADDRESS, IFLA_GROUP, IFLA_IFALIAS, IFLA_IFNAME, IFLA_INFO_DATA, IFLA_INFO_KIND,
    IFLA_INFO_SLAVE_DATA, IFLA_LINK, IFLA_LINK_NETNSID, IFLA_LINKINFO, IFLA_MASTER, IFLA_MTU, IFLA_TXQLEN,
    RTM_NEWLINK,
};

use crate::bridge_port::BridgePort;
use crate::bridge_vlan::BridgeVlans;
use crate::constants::IFINFOMSG_LEN;
use crate::error::{Error, Result};
use crate::interface_name::InterfaceName;
use crate::link_change::link_message;
use crate::mac::Mac;
use crate::netlink::{Failure, Reply, attributes, read_text, read_u32};
use crate::peer::NamespaceNumber;
use crate::rtnetlink::Rtnetlink;

/// A link as the kernel describes it (`ip -details link show`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Interface index, unique in its namespace.
    pub index: u32,
    /// Interface name.
    pub name: String,
    /// Whether it is administratively up (`IFF_UP`).
    pub up: bool,
    /// Whether it receives every frame (`IFF_PROMISC`).
    pub promiscuous: bool,
    /// Whether it receives every multicast frame (`IFF_ALLMULTI`).
    pub all_multicast: bool,
    /// Hardware address, where the link has an Ethernet one.
    pub mac: Option<Mac>,
    /// Largest packet in bytes, without the Ethernet header.
    pub mtu: u32,
    /// Length of the transmit queue, in packets.
    pub tx_queue_length: u32,
    /// Index of the bridge (or other master) that it is a port of.
    pub master: Option<u32>,
    /// Index of the peer of a veth link, or of the parent of a macvlan link, in its namespace (`IFLA_LINK`).
    pub peer: Option<u32>,
    /// The peer's namespace (`IFLA_LINK_NETNSID`); none when it is this one,
    /// [`NamespaceNumber::NONE`](crate::NamespaceNumber::NONE) while the kernel removes it.
    pub peer_namespace: Option<NamespaceNumber>,
    /// Driver, such as `veth`, `bridge` or `ifb`; none for a physical device and for `lo`.
    pub kind: Option<String>,
    /// Alias (`ip link set NAME alias …`).
    pub alias: Option<String>,
    /// Group (`ip link set NAME group N`), by default 0.
    pub group: u32,
    /// Port settings, when it is a bridge's port.
    pub port: BridgePort,
    /// VLAN settings, when it is a bridge.
    pub vlans: BridgeVlans,
}

impl Link {
    pub(crate) fn parse(reply: &Reply<'_>) -> Option<Self> {
        if reply.kind != RTM_NEWLINK {
            return None;
        }
        let flags = LinkFlags::from_bits_retain(read_u32(reply.payload.get(8..)?)?);
        let mut link = Self {
            index: read_u32(reply.payload.get(4..)?)?,
            name: String::new(),
            up: flags.contains(LinkFlags::Up),
            promiscuous: flags.contains(LinkFlags::Promisc),
            all_multicast: flags.contains(LinkFlags::Allmulti),
            mac: None,
            mtu: 0,
            tx_queue_length: 0,
            master: None,
            peer: None,
            peer_namespace: None,
            kind: None,
            alias: None,
            group: 0,
            port: BridgePort::default(),
            vlans: BridgeVlans::default(),
        };
        for attribute in attributes(reply.payload, IFINFOMSG_LEN) {
            let value = attribute.value();
            match attribute.kind() {
                IFLA_ADDRESS => link.mac = value.try_into().ok().map(Mac),
                IFLA_IFNAME => link.name = read_text(value),
                IFLA_MTU => link.mtu = read_u32(value)?,
                IFLA_TXQLEN => link.tx_queue_length = read_u32(value)?,
                IFLA_LINK => link.peer = read_u32(value),
                IFLA_MASTER => link.master = read_u32(value),
                IFLA_IFALIAS => link.alias = Some(read_text(value)),
                IFLA_GROUP => link.group = read_u32(value)?,
                IFLA_LINK_NETNSID => link.peer_namespace = NamespaceNumber::parse(value),
                IFLA_LINKINFO => link.parse_info(value),
                _ => {}
            }
        }
        Some(link)
    }

    fn parse_info(&mut self, info: &[u8]) {
        for attribute in attributes(info, 0) {
            match attribute.kind() {
                IFLA_INFO_KIND => self.kind = Some(read_text(attribute.value())),
                IFLA_INFO_DATA if self.is("bridge") => self.vlans = BridgeVlans::parse(attribute.value()),
                IFLA_INFO_SLAVE_DATA => self.port = BridgePort::parse(attribute.value()),
                _ => {}
            }
        }
    }

    /// Returns whether the link's driver is `kind`.
    pub fn is(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }
}

impl Rtnetlink {
    /// Looks up the link with this name. As `ip link show dev NAME`.
    ///
    /// # Errors
    /// Any refusal but "no such device".
    pub fn link_by_name(&mut self, name: &str) -> Result<Option<Link>> {
        // The kernel refuses to look up longer names (`IFNAMSIZ`).
        if name.len() > InterfaceName::MAX_LEN {
            return Ok(None);
        }
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.get_link(message, name)
    }

    /// Looks up the link with this index.
    ///
    /// # Errors
    /// Any refusal but "no such device".
    pub fn link_by_index(&mut self, index: u32) -> Result<Option<Link>> {
        // The kernel shows index 0 for a redirect to a device that is gone.
        if index == 0 {
            return Ok(None);
        }
        self.get_link(link_message(index), index)
    }

    /// Returns every link of a driver, such as `veth`. As `ip link show type KIND`.
    ///
    /// The kernel filters by the kind. It sends every link when it does not know the kind, so the reply is filtered
    /// here too.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn links_of_kind(&mut self, kind: &str) -> Result<Vec<Link>> {
        let mut message = LinkMessage::default();
        message
            .attributes
            .push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Other(kind.to_owned()))]));
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        self.dump(RouteNetlinkMessage::GetLink(message), format_args!("list {kind} links"), |reply| {
            Link::parse(reply).filter(|link| link.is(kind))
        })
    }

    pub(crate) fn get_link(
        &mut self,
        mut message: LinkMessage,
        which: impl std::fmt::Display,
    ) -> Result<Option<Link>> {
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let mut found = None;
        match self.ask(RouteNetlinkMessage::GetLink(message), |reply| found = Link::parse(&reply)) {
            Ok(()) => Ok(found),
            Err(failure) if failure.errno() == Some(Errno::ENODEV) => Ok(None),
            Err(failure) => Err(failure.during(format_args!("look up link {which}"))),
        }
    }

    /// Returns the error for a failed operation on a link, with the link's name instead of its index.
    pub(crate) fn failed(
        &mut self,
        failure: Failure,
        link: u32,
        operation: impl FnOnce(&str) -> String,
    ) -> Error {
        failure.during(format_args!("{}", operation(&self.name_of(link))))
    }

    /// Returns the name of a link for an error; its index where the kernel does not tell.
    pub(crate) fn name_of(&mut self, link: u32) -> String {
        match self.link_by_index(link) {
            Ok(Some(link)) => link.name,
            Ok(None) | Err(_) => format!("link {link}"),
        }
    }
}
