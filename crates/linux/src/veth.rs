//! Virtual Ethernet pairs between the host and a pod's namespace.

use std::os::fd::AsRawFd;

use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkInfo,
    LinkMessage,
};
use nix::errno::Errno;

use crate::change::Change;
use crate::error::{Error, Feature, Result};
use crate::link::{BridgePort, IMPOSSIBLE_NAME, Link, alias_attribute};
use crate::mac::Mac;
use crate::namespace::Namespace;
use crate::rtnetlink::Rtnetlink;

/// A pair to be made.
pub struct VethPair<'a> {
    /// Name of the host's end, at most 15 bytes.
    pub host_name: &'a str,
    /// Hardware address of the host's end.
    pub host_mac: Mac,
    /// Name of the pod's end, at most 15 bytes.
    pub pod_name: &'a str,
    /// Hardware address of the pod's end.
    pub pod_mac: Mac,
    /// Largest packet in bytes for both ends; the kernel's default (1500) when absent.
    pub mtu: Option<u32>,
    /// Bridge that the host's end becomes a port of.
    pub bridge: u32,
    /// Whether the host's end is created [unfinished](Link::is_unfinished), until [`Change::finish`].
    pub unfinished: bool,
}

/// By default each end is made with a queue for every CPU, of which the kernel uses the first and puts the others
/// away again: with a grace period for each end, while every other change of a link waits.
const ONE_QUEUE: [LinkAttribute; 2] = [LinkAttribute::NumTxQueues(1), LinkAttribute::NumRxQueues(1)];

impl Rtnetlink {
    /// Creates a pair whose peer is born in the pod's namespace under its final name, the host's end in the
    /// bridge, all in one request. Both ends are down. The returned link is the host's end; its `peer` is the
    /// index of the pod's end.
    ///
    /// As `ip link add HOST address MAC mtu N master BRIDGE numtxqueues 1 numrxqueues 1 type veth peer POD address MAC
    /// mtu N numtxqueues 1 numrxqueues 1 netns PATH`.
    ///
    /// # Errors
    /// [`Error::MissingFeature`] without veth in the kernel; `EEXIST` when either name is taken; `EXFULL`
    /// when the bridge has its 1,023 ports (`BR_MAX_PORTS` in net/bridge/br_private.h, less port 0).
    pub fn create_veth(&mut self, pair: &VethPair<'_>, pod: &Namespace) -> Result<Link> {
        let mut peer = LinkMessage::default();
        peer.attributes.push(LinkAttribute::IfName(pair.pod_name.to_owned()));
        peer.attributes.push(LinkAttribute::Address(pair.pod_mac.0.to_vec()));
        peer.attributes.push(LinkAttribute::NetNsFd(pod.as_raw_fd()));
        peer.attributes.extend(pair.mtu.map(LinkAttribute::Mtu));
        peer.attributes.extend(ONE_QUEUE);

        let mut host = LinkMessage::default();
        host.attributes.push(LinkAttribute::IfName(pair.host_name.to_owned()));
        host.attributes.push(LinkAttribute::Address(pair.host_mac.0.to_vec()));
        host.attributes.push(LinkAttribute::Controller(pair.bridge));
        host.attributes.extend(pair.mtu.map(LinkAttribute::Mtu));
        host.attributes.extend(pair.unfinished.then_some(LinkAttribute::Group(self.port)));
        host.attributes.extend(ONE_QUEUE);
        host.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        let link = self
            .create_link(host, pair.host_name)
            .map_err(|error| error.or_missing(Feature::Veth, &[Errno::EOPNOTSUPP]))?;
        if link.peer.is_some() {
            return Ok(link);
        }
        self.link_by_index(link.index)?.filter(|link| link.peer.is_some()).ok_or_else(|| {
            Error::IncompleteReply {
                operation: format!("create link {}", pair.host_name),
                lacks: "the index of the other end",
            }
        })
    }

    /// Says on the host's end what it is for, sets its port flags (the kernel ignores both in the request that
    /// creates a link) and brings it up, without a link-local address.
    ///
    /// As `ip link set dev NAME alias TEXT addrgenmode none type bridge_slave hairpin on isolated on` and `ip link
    /// set dev NAME up`.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn raise_port(&mut self, host: &Link, alias: &str, port: BridgePort) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = host.index;
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
        self.make(&[described, Change::without_link_local_address(host.index), Change::set_up(host.index)])
    }

    /// Whether the kernel has veth pairs; nothing is made.
    ///
    /// # Errors
    /// [`Error::MissingFeature`].
    pub fn probe_veth(&mut self) -> Result<()> {
        // The peer is made first: its name, not ours, must be the impossible one.
        let mut peer = LinkMessage::default();
        peer.attributes.push(LinkAttribute::IfName(IMPOSSIBLE_NAME.to_owned()));
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        self.probe_kind(message, Feature::Veth)
    }
}
