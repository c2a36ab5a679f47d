//! Changes of a link, applied alone or with others.

use netlink_packet_core::{DefaultNla, Emitable};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute, LinkFlags, LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use nix::libc::IFLA_AF_SPEC;
use nix::libc::IFLA_IFALIAS;

use crate::change::Change;
use crate::constants::{IFLA_INET_CONF, IPV4_DEVCONF_ARP_NOTIFY};
use crate::mac::Mac;

impl Change {
    /// Sets a link up. As `ip link set dev NAME up`.
    pub fn set_up(link: u32) -> Self {
        Self::set_flag(link, LinkFlags::Up, true)
    }

    /// Switches promiscuous mode. As `ip link set dev NAME promisc on` or `off`.
    pub fn set_promiscuous(link: u32, on: bool) -> Self {
        Self::set_flag(link, LinkFlags::Promisc, on)
    }

    /// Switches the reception of all multicast frames. As `ip link set dev NAME allmulticast on` or `off`.
    pub fn set_all_multicast(link: u32, on: bool) -> Self {
        Self::set_flag(link, LinkFlags::Allmulti, on)
    }

    fn set_flag(link: u32, flag: LinkFlags, on: bool) -> Self {
        let mut message = link_message(link);
        message.header.change_mask = flag;
        if on {
            message.header.flags = flag;
        }
        let state = if on { "on" } else { "off" };
        Self::of_link(message, move |name| format!("switch {flag:?} {state} for {name}"))
    }

    /// Sets the hardware address. As `ip link set dev NAME address MAC`.
    pub fn set_mac(link: u32, mac: Mac) -> Self {
        let address = LinkAttribute::Address(mac.0.to_vec());
        Self::set(link, address, move |name| format!("set the hardware address of {name} to {mac}"))
    }

    /// Sets the MTU. As `ip link set dev NAME mtu BYTES`.
    pub fn set_mtu(link: u32, mtu: u32) -> Self {
        Self::set(link, LinkAttribute::Mtu(mtu), move |name| format!("set the MTU of {name} to {mtu}"))
    }

    /// Sets the length of the transmit queue. As `ip link set dev NAME txqueuelen PACKETS`.
    pub fn set_tx_queue_length(link: u32, packets: u32) -> Self {
        let operation = move |name: &str| format!("set the transmit queue length of {name} to {packets}");
        Self::set(link, LinkAttribute::TxQueueLen(packets), operation)
    }

    /// Sets the alias. As `ip link set dev NAME alias TEXT`; the kernel holds 255 bytes, the rest is cut off.
    pub fn set_alias(link: u32, alias: &str) -> Self {
        Self::set(link, alias_attribute(alias), |name| format!("set the alias of {name}"))
    }

    /// Keeps the kernel from giving a link a link-local IPv6 address when it goes up. A bridge's port and an ifb
    /// never use one, but duplicate address detection takes the kernel a second of timers, and the RTNL lock. Does
    /// nothing where there is no IPv6.
    ///
    /// As `ip link set dev NAME addrgenmode none`.
    pub fn without_link_local_address(link: u32) -> Self {
        let mut message = link_message(link);
        message.attributes.push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![
            AfSpecInet6::AddrGenMode(In6AddrGenMode::None),
        ])]));
        Self::of_link(message, |name| format!("switch link-local addresses off for {name}"))
            .ignoring(&[Errno::EAFNOSUPPORT])
    }

    /// Makes the kernel announce a link's IPv4 addresses when it goes up, so that neighbours drop stale ARP entries.
    /// An improvement only: a kernel without this setting is not an error.
    ///
    /// As `sysctl -w net.ipv4.conf.NAME.arp_notify=1`, which costs more the more namespaces there are: the kernel
    /// searches all of their parameters of that name.
    pub fn announce_ipv4_addresses(link: u32) -> Self {
        let on = 1u32.to_ne_bytes();
        let family = u16::from(u8::from(AddressFamily::Inet));
        let spec = nested(family, &nested(IFLA_INET_CONF, &nested(IPV4_DEVCONF_ARP_NOTIFY, &on)));
        let mut message = link_message(link);
        message.attributes.push(LinkAttribute::Other(DefaultNla::new(IFLA_AF_SPEC, spec)));
        Self::of_link(message, |name| format!("announce the addresses of {name}")).ignoring(&[
            Errno::EAFNOSUPPORT,
            Errno::EOPNOTSUPP,
            Errno::EINVAL,
        ])
    }

    /// Sets the group. As `ip link set dev NAME group N`.
    pub(crate) fn set_group(link: u32, group: u32) -> Self {
        Self::set(link, LinkAttribute::Group(group), |name| format!("set the group of {name}"))
    }

    fn set(link: u32, attribute: LinkAttribute, operation: impl Fn(&str) -> String + 'static) -> Self {
        let mut message = link_message(link);
        message.attributes.push(attribute);
        Self::of_link(message, operation)
    }

    /// Returns a change of the link that `message`'s header names; `operation` gets the link's name and completes
    /// "cannot …".
    pub(crate) fn of_link(message: LinkMessage, operation: impl Fn(&str) -> String + 'static) -> Self {
        let link = message.header.index;
        Self::new(RouteNetlinkMessage::NewLink(message), 0, link, operation)
    }
}

/// Returns a message about the link with this index.
pub(crate) fn link_message(link: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = link;
    message
}

/// Most bytes of an alias (`IFALIASZ` in uapi/linux/if.h, less its zero).
const ALIAS_MAX: usize = 255;

/// Returns `IFLA_IFALIAS` without a closing zero, as `ip` sends it: with one, the kernel refuses the longest alias.
pub(crate) fn alias_attribute(alias: &str) -> LinkAttribute {
    let alias = &alias[..alias.floor_char_boundary(ALIAS_MAX)];
    LinkAttribute::Other(DefaultNla::new(IFLA_IFALIAS, alias.as_bytes().to_vec()))
}

/// Returns one attribute with its header; the length of `value` is a multiple of four bytes.
fn nested(kind: u16, value: &[u8]) -> Vec<u8> {
    let nla = DefaultNla::new(kind, value.to_vec());
    let mut bytes = vec![0; nla.buffer_len()];
    nla.emit(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bridge, new_namespace, veth};

    #[test]
    fn a_link_is_told_to_announce_its_ipv4_addresses() {
        let mut rtnetlink = new_namespace();
        let bridge = bridge(&mut rtnetlink, "br0").index;
        let shown = || std::fs::read_to_string("/proc/sys/net/ipv4/conf/br0/arp_notify").unwrap();
        assert_eq!(shown(), "0\n");
        rtnetlink.apply(&[Change::announce_ipv4_addresses(bridge)]).unwrap();
        assert_eq!(shown(), "1\n");
    }

    #[test]
    fn a_link_shows_its_settings() {
        let mut rtnetlink = new_namespace();
        let index = veth(&mut rtnetlink, "one", "other", None).index;
        let mac = Mac([2, 0, 0, 0, 0, 7]);
        for (on, mtu, packets) in [(true, 1300, 500), (false, 1400, 0)] {
            let changes = [
                Change::set_mac(index, mac),
                Change::set_mtu(index, mtu),
                Change::set_promiscuous(index, on),
                Change::set_all_multicast(index, on),
                Change::set_tx_queue_length(index, packets),
            ];
            rtnetlink.apply(&changes).unwrap();
            let shown = rtnetlink.link_by_index(index).unwrap().unwrap();
            assert_eq!((shown.mac, shown.mtu, shown.tx_queue_length), (Some(mac), mtu, packets));
            assert_eq!((shown.promiscuous, shown.all_multicast), (on, on));
        }
    }

    #[test]
    fn of_several_changes_the_refused_one_is_told_and_the_others_are_made() {
        let mut rtnetlink = new_namespace();
        let made = ["br0", "br1"].map(|name| bridge(&mut rtnetlink, name).index);
        let changes =
            [Change::set_alias(made[0], "one"), Change::set_up(4711), Change::set_alias(made[1], "two")];
        let refused = rtnetlink.apply(&changes).unwrap_err();
        assert_eq!(refused.errno(), Some(Errno::ENODEV), "{refused}");
        assert!(refused.to_string().contains("4711"), "{refused}");
        let alias = |name| rtnetlink.link_by_name(name).unwrap().unwrap().alias;
        assert_eq!(["br0", "br1"].map(alias), [Some("one".to_owned()), Some("two".to_owned())]);
    }

    #[test]
    fn a_link_without_a_link_local_address_goes_up_without_one() {
        let mut rtnetlink = new_namespace();
        let one = veth(&mut rtnetlink, "one", "other", None);
        let other = one.peer.unwrap();
        let silent = Change::without_link_local_address(one.index);
        rtnetlink.apply(&[silent, Change::set_up(one.index), Change::set_up(other)]).unwrap();
        let mut count = |link| rtnetlink.addresses(link).unwrap().len();
        assert_eq!((count(one.index), count(other)), (0, 1));
    }
}
