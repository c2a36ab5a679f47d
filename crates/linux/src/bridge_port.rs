//! Settings of a bridge's port.

use netlink_packet_route::link::{InfoBridgePort, InfoPortData, InfoPortKind, LinkAttribute, LinkInfo};

use crate::change::Change;
use crate::constants::{IFLA_BRPORT_ISOLATED, IFLA_BRPORT_MODE};
use crate::error::Result;
use crate::link::Link;
use crate::link_change::{alias_attribute, link_message};
use crate::netlink::attributes;
use crate::rtnetlink::Rtnetlink;

/// Settings of a bridge's port (`bridge link set dev NAME hairpin on isolated on`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BridgePort {
    /// A frame may leave through the port that it came in by.
    pub hairpin: bool,
    /// No frame is forwarded between this port and another isolated one.
    pub isolated: bool,
}

impl BridgePort {
    /// Reads `IFLA_INFO_SLAVE_DATA` of a port.
    pub(crate) fn parse(slave_data: &[u8]) -> Self {
        let mut port = Self::default();
        for setting in attributes(slave_data, 0) {
            let on = setting.value().first().is_some_and(|value| *value != 0);
            match setting.kind() {
                IFLA_BRPORT_MODE => port.hairpin = on,
                IFLA_BRPORT_ISOLATED => port.isolated = on,
                _ => {}
            }
        }
        port
    }
}

impl Rtnetlink {
    /// Sets the alias of the host's end of a pair, its port flags (the kernel ignores both in the request that
    /// creates a link) and brings it up, without a link-local address.
    ///
    /// As `ip link set dev NAME alias TEXT addrgenmode none type bridge_slave hairpin on isolated on` and `ip link
    /// set dev NAME up`.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn raise_port(&mut self, host: &Link, alias: &str, port: BridgePort) -> Result<()> {
        let mut message = link_message(host.index);
        message.attributes.push(alias_attribute(alias));
        if port != BridgePort::default() {
            message.attributes.push(LinkAttribute::LinkInfo(vec![
                LinkInfo::PortKind(InfoPortKind::Bridge),
                LinkInfo::PortData(InfoPortData::BridgePort(vec![
                    InfoBridgePort::HairpinMode(port.hairpin),
                    InfoBridgePort::Isolated(port.isolated),
                ])),
            ]));
        }
        let described = Change::of_link(message, |name| format!("set alias and port flags of {name}"));
        self.apply(&[described, Change::without_link_local_address(host.index), Change::set_up(host.index)])
    }
}
