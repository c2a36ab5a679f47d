//! Links to be created: one description for every kind.

use std::os::fd::AsRawFd;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoMacVlan, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};
use nix::errno::Errno;

use crate::bridge_vlan::filtering_on;
use crate::error::{Error, Result};
use crate::feature::Feature;
use crate::link::Link;
use crate::mac::Mac;
use crate::namespace::Namespace;
use crate::netlink::Failure;
use crate::rtnetlink::Rtnetlink;

/// A link to be created. As `ip link add NAME …`.
///
/// The kernel ignores an alias and port settings in the request that creates a link; [`Rtnetlink::raise_port`] and
/// [`Change::set_alias`](crate::Change::set_alias) set them afterwards.
#[derive(Clone, Copy)]
pub struct NewLink<'a> {
    /// Its name, at most 15 bytes.
    pub name: &'a str,
    /// Its driver.
    pub kind: NewLinkKind<'a>,
    /// Its hardware address (`address MAC`); a random one when absent. A bridge without one takes its lowest port's.
    pub mac: Option<Mac>,
    /// Largest packet in bytes (`mtu N`), of both ends of a pair; the kernel's default when absent.
    pub mtu: Option<u32>,
    /// Namespace in which it is created (`netns PATH`); the socket's when absent.
    pub namespace: Option<&'a Namespace>,
    /// Index of the bridge that it becomes a port of (`master BRIDGE`).
    pub master: Option<u32>,
    /// Whether it is created up (`up`). The kernel creates a veth peer down in any case.
    pub up: bool,
    /// Whether it is created [unfinished](Link::is_unfinished), until [`Change::finish`](crate::Change::finish).
    pub unfinished: bool,
}

/// The driver of a link to be created, with what only that driver knows.
#[derive(Clone, Copy)]
pub enum NewLinkKind<'a> {
    /// `type bridge [vlan_filtering 1]`. An address that is given at creation counts as set by the administrator
    /// (`NET_ADDR_SET`): the bridge then does not take its lowest port's.
    Bridge {
        /// A frame passes only between ports that carry its VLAN.
        vlan_filtering: bool,
    },
    /// `txqueuelen 1000 numtxqueues 1 numrxqueues 1 type ifb`: a device that queues packets that arrived at another
    /// link. It has one queue in each direction: with several, each would be shaped by itself.
    Ifb,
    /// `numtxqueues 1 numrxqueues 1 type veth peer …`.
    Veth(VethPeer<'a>),
    /// `link PARENT type macvlan mode MODE`.
    Macvlan {
        /// Index of the link whose frames it shares.
        parent: u32,
        /// Which other macvlan links of the parent it reaches.
        mode: MacvlanMode,
    },
}

/// The other end of a veth pair, created in the same request.
#[derive(Clone, Copy)]
pub struct VethPeer<'a> {
    /// Its name, at most 15 bytes.
    pub name: &'a str,
    /// Its hardware address; a random one when absent.
    pub mac: Option<Mac>,
    /// Namespace in which it is created under this name; that of the first end when absent.
    pub namespace: Option<&'a Namespace>,
}

/// How macvlan links of one parent reach each other (`IFLA_MACVLAN_MODE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacvlanMode {
    /// Directly.
    Bridge,
    /// Not at all.
    Private,
    /// Through an external switch that sends frames back to the port that they came from.
    Vepa,
    /// Only one link, with the parent's hardware address.
    Passthru,
}

/// By default each end of a pair gets a queue for every CPU, of which the kernel uses the first and removes the
/// others again, with a grace period for each end and under the RTNL lock.
const ONE_QUEUE: [LinkAttribute; 2] = [LinkAttribute::NumTxQueues(1), LinkAttribute::NumRxQueues(1)];

/// Packets that have passed an ifb's shaper and wait for the device's tasklet. The driver's default of 32 is one
/// receive burst of a fast link; 0 stops the queue after each packet.
const IFB_QUEUE_LENGTH_PACKETS: u32 = 1000;

/// A name that no link can have (`dev_valid_name` in net/core/dev.c).
pub(crate) const IMPOSSIBLE_NAME: &str = ".";

impl<'a> NewLink<'a> {
    /// Returns a link of this name and kind, down, with the kernel's defaults otherwise.
    pub fn new(name: &'a str, kind: NewLinkKind<'a>) -> Self {
        let (mac, mtu, namespace, master) = (None, None, None, None);
        Self { name, kind, mac, mtu, namespace, master, up: false, unfinished: false }
    }

    /// Returns the request; `port` is the port ID of the socket that it is sent on.
    pub(crate) fn message(&self, port: u32) -> LinkMessage {
        let mut message = LinkMessage::default();
        if self.up {
            message.header.flags = LinkFlags::Up;
            message.header.change_mask = LinkFlags::Up;
        }
        let attributes = &mut message.attributes;
        attributes.extend(common_attributes(self.name, self.mac, self.namespace, self.mtu));
        attributes.extend(self.master.map(LinkAttribute::Controller));
        attributes.extend(self.unfinished.then_some(LinkAttribute::Group(port)));
        let data = match self.kind {
            NewLinkKind::Bridge { vlan_filtering } => vlan_filtering.then(filtering_on),
            NewLinkKind::Ifb => {
                attributes.push(LinkAttribute::TxQueueLen(IFB_QUEUE_LENGTH_PACKETS));
                attributes.extend(ONE_QUEUE);
                None
            }
            NewLinkKind::Veth(peer) => {
                attributes.extend(ONE_QUEUE);
                let mut message = LinkMessage::default();
                message.attributes.extend(common_attributes(peer.name, peer.mac, peer.namespace, self.mtu));
                message.attributes.extend(ONE_QUEUE);
                Some(LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(message))))
            }
            NewLinkKind::Macvlan { parent, mode } => {
                attributes.push(LinkAttribute::Link(parent));
                Some(LinkInfo::Data(InfoData::MacVlan(vec![InfoMacVlan::Mode(mode.into())])))
            }
        };
        let info = std::iter::once(LinkInfo::Kind(self.kind.driver().0)).chain(data).collect();
        attributes.push(LinkAttribute::LinkInfo(info));
        message
    }
}

fn common_attributes(
    name: &str,
    mac: Option<Mac>,
    namespace: Option<&Namespace>,
    mtu: Option<u32>,
) -> impl Iterator<Item = LinkAttribute> {
    let mac = mac.map(|mac| LinkAttribute::Address(mac.0.to_vec()));
    let name = LinkAttribute::IfName(name.to_owned());
    let namespace = namespace.map(|namespace| LinkAttribute::NetNsFd(namespace.as_raw_fd()));
    [mac, Some(name), namespace, mtu.map(LinkAttribute::Mtu)].into_iter().flatten()
}

impl NewLinkKind<'_> {
    /// The pair that [`Rtnetlink::probe`] asks for.
    pub const PROBE_VETH: Self = Self::Veth(VethPeer { name: IMPOSSIBLE_NAME, mac: None, namespace: None });

    fn driver(self) -> (InfoKind, Feature) {
        match self {
            Self::Bridge { .. } => (InfoKind::Bridge, Feature::Bridge),
            Self::Ifb => (InfoKind::Ifb, Feature::Ifb),
            Self::Veth(_) => (InfoKind::Veth, Feature::Veth),
            Self::Macvlan { .. } => (InfoKind::MacVlan, Feature::Macvlan),
        }
    }
}

impl From<MacvlanMode> for MacVlanMode {
    fn from(mode: MacvlanMode) -> Self {
        match mode {
            MacvlanMode::Bridge => Self::Bridge,
            MacvlanMode::Private => Self::Private,
            MacvlanMode::Vepa => Self::Vepa,
            MacvlanMode::Passthru => Self::Passthrough,
        }
    }
}

impl Rtnetlink {
    /// Creates a link and returns it as the kernel shows it; of a veth pair, the first end, with the index of its
    /// peer. The kernel shows it before the link becomes a port: its `master` may be absent.
    ///
    /// # Errors
    /// [`Error::MissingFeature`] when the kernel does not know the kind, or VLANs of a bridge; `EEXIST` when a name is
    /// taken, also by another process a moment ago; `EXFULL` when the bridge has its 1,023 ports (`BR_MAX_PORTS` in
    /// net/bridge/br_private.h, less port 0); otherwise the kernel's refusal.
    pub fn create(&mut self, new: &NewLink<'_>) -> Result<Link> {
        let incomplete = |lacks| Error::incomplete(&format!("create link {}", new.name), lacks);
        let mut created = None;
        let request = RouteNetlinkMessage::NewLink(new.message(self.port));
        self.attempt(request, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO, |reply| {
            created = Link::parse(&reply).filter(|link| link.name == new.name).or(created.take());
        })
        .map_err(|failure| self.creation_failed(failure, new))?;
        let is_whole = |link: &Link| !matches!(new.kind, NewLinkKind::Veth(_)) || link.peer.is_some();
        let link = match (created, new.namespace) {
            (Some(link), _) if is_whole(&link) => Some(link),
            (Some(link), _) => self.link_by_index(link.index)?,
            // Kernels before 6.2 echo nothing; none echoes a link that was created in another namespace.
            (None, Some(namespace)) => self.link_by_name_in(namespace, new.name)?,
            (None, None) => self.link_by_name(new.name)?,
        };
        let link = link.ok_or_else(|| incomplete("the new link"))?;
        if is_whole(&link) { Ok(link) } else { Err(incomplete("the index of the other end")) }
    }

    fn creation_failed(&mut self, failure: Failure, new: &NewLink<'_>) -> Error {
        let feature = match new.kind {
            // The kernel refuses an unknown kind of link and an unknown setting of a bridge alike.
            NewLinkKind::Bridge { vlan_filtering: true }
                if failure.errno() == Some(Errno::EOPNOTSUPP)
                    && self.probe(NewLinkKind::Bridge { vlan_filtering: false }).is_ok() =>
            {
                Feature::BridgeVlanFiltering
            }
            kind => kind.driver().1,
        };
        failure.during(format_args!("create link {}", new.name)).or_missing(feature, &[Errno::EOPNOTSUPP])
    }

    /// Checks that the kernel knows a kind of link; nothing is created.
    ///
    /// The kernel is asked for a link that it must refuse: it refuses an unknown kind (`EOPNOTSUPP`) before a name that
    /// no link can have (`EINVAL`), and before a parent that does not exist (`ENODEV`; give a macvlan the parent 0). It
    /// creates a pair's peer first, so that the peer must have an impossible name too: [`NewLinkKind::PROBE_VETH`].
    ///
    /// # Errors
    /// [`Error::MissingFeature`] if not; otherwise the kernel's refusal.
    pub fn probe(&mut self, kind: NewLinkKind<'_>) -> Result<()> {
        self.probe_message(NewLink::new(IMPOSSIBLE_NAME, kind).message(self.port), kind.driver().1)
    }

    fn probe_message(&mut self, message: LinkMessage, feature: Feature) -> Result<()> {
        match self.attempt(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL, |_| {}) {
            Err(failure) if !matches!(failure.errno(), Some(Errno::EINVAL | Errno::ENODEV)) => {
                Err(failure.during(format_args!("create links")).or_missing(feature, &[Errno::EOPNOTSUPP]))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
