//! Links: what the kernel says of one, and the changes that every kind of link knows.

use netlink_packet_core::DefaultNla;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage};
use nix::errno::Errno;
use nix::libc::{
    IFLA_ADDRESS, IFLA_GROUP, IFLA_IFALIAS, IFLA_IFNAME, IFLA_INFO_DATA, IFLA_INFO_KIND,
    IFLA_INFO_SLAVE_DATA, IFLA_LINK, IFLA_LINK_NETNSID, IFLA_LINKINFO, IFLA_MASTER, IFLA_MTU, RTM_NEWLINK,
};

use crate::bridge_port::BridgePort;
use crate::bridge_vlan::BridgeVlans;
use crate::change::Change;
use crate::constants::IFINFOMSG_LEN;
use crate::error::{Error, Result};
use crate::interface_name::InterfaceName;
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
    /// Whether it was told to receive every frame (`IFF_PROMISC`).
    pub promiscuous: bool,
    /// Hardware address, where the link has an Ethernet one.
    pub mac: Option<Mac>,
    /// Largest packet in bytes, without the Ethernet header.
    pub mtu: u32,
    /// Index of the bridge (or other master) that it is a port of.
    pub master: Option<u32>,
    /// Index of the other end, in that end's namespace (`IFLA_LINK`).
    pub peer: Option<u32>,
    /// Number by which this namespace knows the one of the other end (`IFLA_LINK_NETNSID`); none when that is
    /// this one, [`NamespaceNumber::NONE`](crate::NamespaceNumber::NONE) while the kernel takes it apart.
    pub peer_namespace: Option<NamespaceNumber>,
    /// Driver, such as `veth`, `bridge` or `ifb`; none for a physical device and for `lo`.
    pub kind: Option<String>,
    /// What the link says of itself (`ip link set NAME alias …`).
    pub alias: Option<String>,
    /// The group that it is in (`ip link set NAME group N`); 0 unless something sets another.
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
            mac: None,
            mtu: 0,
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

    /// Whether the kernel's driver of the link is `kind`.
    pub fn is(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }
}

impl Rtnetlink {
    /// The link called `name`, if there is one. As `ip link show dev NAME`.
    ///
    /// # Errors
    /// Any refusal but "no such device".
    pub fn link_by_name(&mut self, name: &str) -> Result<Option<Link>> {
        // The kernel refuses to look for a name that no link can have (`IFNAMSIZ`).
        if name.len() > InterfaceName::MAX_LEN {
            return Ok(None);
        }
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.get_link(message, name)
    }

    /// The link with `index`, if there is one.
    ///
    /// # Errors
    /// Any refusal but "no such device".
    pub fn link_by_index(&mut self, index: u32) -> Result<Option<Link>> {
        // No link has it: the kernel shows it for a redirect whose device is gone.
        if index == 0 {
            return Ok(None);
        }
        let mut message = LinkMessage::default();
        message.header.index = index;
        self.get_link(message, index)
    }

    /// Every link that the driver `kind` made, such as `veth`. As `ip link show type KIND`.
    ///
    /// The kernel filters by the kind; it sends every link when the kind is unknown to it, hence the
    /// filter here.
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
        whom: impl std::fmt::Display,
    ) -> Result<Option<Link>> {
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let mut found = None;
        match self.ask(RouteNetlinkMessage::GetLink(message), |reply| found = Link::parse(&reply)) {
            Ok(()) => Ok(found),
            Err(failure) if failure.errno() == Some(Errno::ENODEV) => Ok(None),
            Err(failure) => Err(failure.during(format_args!("look up link {whom}"))),
        }
    }

    /// The error for a failed operation on a link. The kernel is asked for the link's name, which says more
    /// to people than its index.
    pub(crate) fn failed(
        &mut self,
        failure: Failure,
        link: u32,
        operation: impl FnOnce(&str) -> String,
    ) -> Error {
        failure.during(format_args!("{}", operation(&self.name_of(link))))
    }

    /// The name of a link for an error, or its index where the kernel does not tell.
    pub(crate) fn name_of(&mut self, link: u32) -> String {
        match self.link_by_index(link) {
            Ok(Some(link)) => link.name,
            Ok(None) | Err(_) => format!("link {link}"),
        }
    }

    /// As `ip link set dev NAME up`.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn set_up(&mut self, link: u32) -> Result<()> {
        self.set_flag(link, LinkFlags::Up, true)
    }

    /// As `ip link set dev NAME promisc on`.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn set_promiscuous(&mut self, link: u32) -> Result<()> {
        self.set_flag(link, LinkFlags::Promisc, true)
    }

    fn set_flag(&mut self, link: u32, flag: LinkFlags, on: bool) -> Result<()> {
        self.apply(&[Change::set_flag(link, flag, on)])
    }

    /// As `ip link set dev NAME address MAC`.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn set_mac(&mut self, link: u32, mac: Mac) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = link;
        message.attributes.push(LinkAttribute::Address(mac.0.to_vec()));
        let change =
            Change::of_link(message, move |name| format!("set the hardware address of {name} to {mac}"));
        self.apply(&[change])
    }

    /// As `ip link set dev NAME alias TEXT`; the kernel holds 255 bytes, the rest is cut off.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn set_alias(&mut self, link: u32, alias: &str) -> Result<()> {
        self.apply(&[Change::set_alias(link, alias)])
    }

    /// Deletes a link; one that is gone already is fine. As `ip link delete dev NAME`.
    ///
    /// The kernel answers after two RCU grace periods, about 20 ms.
    ///
    /// # Errors
    /// Any refusal but "no such device".
    pub fn delete_link(&mut self, link: u32) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = link;
        self.apply(&[deletion(link, message, |name| format!("delete {name}"))])
    }
}

impl Rtnetlink {
    /// Deletes several links in one go, so that the kernel waits once for all of them: about 17 ms for two,
    /// where one after the other takes 40. They are put into a group of their own first.
    ///
    /// As `ip link set dev NAME group N` for each, then `ip link delete group N`.
    ///
    /// # Errors
    /// The kernel's refusal. Links that are gone already are fine.
    pub fn delete_links(&mut self, links: &[u32]) -> Result<()> {
        let [first, _, ..] = links else {
            return links.iter().try_for_each(|link| self.delete_link(*link));
        };
        let group = LinkAttribute::Group(DELETION_GROUP | first);
        let grouped = links.iter().map(|link| {
            let mut message = LinkMessage::default();
            message.header.index = *link;
            message.attributes.push(group.clone());
            let change = Change::of_link(message, |name| format!("set the group of {name}"));
            Change { ignored: &[Errno::ENODEV], ..change }
        });
        let mut message = LinkMessage::default();
        message.attributes.push(group.clone());
        let deleted = deletion(*first, message, |name| format!("delete {name} and what goes with it"));
        self.apply(&grouped.chain([deleted]).collect::<Vec<_>>())
    }
}

/// Deletes what the message names; `link` is what an error calls it by.
fn deletion(link: u32, message: LinkMessage, operation: fn(&str) -> String) -> Change {
    Change {
        request: RouteNetlinkMessage::DelLink(message),
        flags: 0,
        link,
        operation: Box::new(operation),
        ignored: &[Errno::ENODEV],
        missing: None,
    }
}

/// Groups in which links are deleted: this bit and the index of the first link, which nobody else has.
/// Administrators number groups from 0, in `/etc/iproute2/group`.
const DELETION_GROUP: u32 = 1 << 31;

/// Most bytes of an alias (`IFALIASZ` in uapi/linux/if.h, less its zero).
const ALIAS_MAX: usize = 255;

/// Without a closing zero, as `ip` sends it: with one, the kernel refuses the longest alias.
pub(crate) fn alias_attribute(alias: &str) -> LinkAttribute {
    let alias = &alias[..alias.floor_char_boundary(ALIAS_MAX)];
    LinkAttribute::Other(DefaultNla::new(IFLA_IFALIAS, alias.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bridge, new_namespace};

    fn bridges(rtnetlink: &mut Rtnetlink, names: &[&str]) -> Vec<u32> {
        names.iter().map(|name| bridge(rtnetlink, name).index).collect()
    }

    #[test]
    fn several_links_are_deleted_and_no_other() {
        let mut rtnetlink = new_namespace();
        let made = bridges(&mut rtnetlink, &["br0", "br1", "br2"]);
        rtnetlink.delete_links(&made[..2]).unwrap();
        rtnetlink.delete_links(&made[..2]).unwrap();
        let left = rtnetlink.links_of_kind("bridge").unwrap();
        assert_eq!(left.iter().map(|link| link.name.as_str()).collect::<Vec<_>>(), ["br2"]);
    }

    #[test]
    fn a_link_that_is_gone_does_not_keep_the_others() {
        let mut rtnetlink = new_namespace();
        let made = bridges(&mut rtnetlink, &["br0", "br1"]);
        rtnetlink.delete_link(made[0]).unwrap();
        rtnetlink.delete_links(&made).unwrap();
        assert_eq!(rtnetlink.links_of_kind("bridge").unwrap(), []);
    }
}
