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
    /// What it is.
    pub kind: NewLinkKind<'a>,
    /// Its hardware address (`address MAC`); a random one when absent. A bridge without one takes its lowest port's.
    pub mac: Option<Mac>,
    /// Largest packet in bytes (`mtu N`), of both ends of a pair; the kernel's default when absent.
    pub mtu: Option<u32>,
    /// Namespace in which it is created (`netns PATH`); the socket's when absent.
    pub namespace: Option<&'a Namespace>,
    /// Index of the bridge that it becomes a port of (`master BRIDGE`).
    pub master: Option<u32>,
    /// Whether it is up from the beginning (`up`). A veth pair and an ifb are created down.
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
    /// `txqueuelen 1000 numtxqueues 1 numrxqueues 1 type ifb`: a device that queues what arrived at another link. It has
    /// one queue in each direction: with several, each would be shaped by itself.
    Ifb,
    /// `numtxqueues 1 numrxqueues 1 type veth peer …`.
    Veth(VethPeer<'a>),
    /// `link PARENT type macvlan mode MODE`.
    Macvlan {
        /// Index of the link whose frames it shares.
        parent: u32,
        /// Which of these frames it sees.
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

/// How macvlan links of one parent see each other (`IFLA_MACVLAN_MODE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacvlanMode {
    /// Directly.
    Bridge,
    /// Not at all.
    Private,
    /// By a switch that sends frames back to the port that they came from.
    Vepa,
    /// There is only one, which has the parent's hardware address.
    Passthru,
}

/// By default each end of a pair is made with a queue for every CPU, of which the kernel uses the first and puts the
/// others away again: with a grace period for each end, while every other change of a link waits.
const ONE_QUEUE: [LinkAttribute; 2] = [LinkAttribute::NumTxQueues(1), LinkAttribute::NumRxQueues(1)];

/// Packets that may be past an ifb's shaper and wait for the device's tasklet. The driver's 32 is one receive
/// burst of a fast link, 0 stops the queue after each packet. A packet that waits here was already let through.
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
    /// Creates a link and returns what the kernel made of it; of a veth pair, the first end, with the index of its peer.
    /// The kernel tells it before the link becomes a port: its `master` may be absent.
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
            // Nothing is echoed by kernels before 6.2, and of a link that was created in another namespace.
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

    /// Finds out whether the kernel knows a kind of link; nothing is created.
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
mod tests {
    use super::*;
    use crate::testing::{bridge, ifb, new_namespace, veth};

    const MAC: Mac = Mac([0x0a, 0x58, 0x0a, 1, 0, 7]);

    fn shown_by_ip(name: &str) -> String {
        let ip = std::process::Command::new("ip").args(["-details", "link", "show", name]).output();
        String::from_utf8(ip.unwrap().stdout).unwrap()
    }

    #[test]
    fn an_ifb_is_born_down_with_its_mtu() {
        let mut rtnetlink = new_namespace();
        let veth = veth(&mut rtnetlink, "host0", "pod0", None);
        let new = NewLink { mac: Some(MAC), mtu: Some(1450), ..NewLink::new("bwp0", NewLinkKind::Ifb) };
        let made = rtnetlink.create(&new).unwrap();
        let seen = rtnetlink.link_by_name("bwp0").unwrap().unwrap();
        assert!(!seen.up && seen.is("ifb"));
        assert_eq!(seen.mtu, 1450);
        assert_eq!((seen.index, seen.mac, made.mac), (made.index, Some(MAC), Some(MAC)));
        let all = rtnetlink.links_of_kind("ifb").unwrap();
        assert_eq!(all.iter().map(|link| link.index).collect::<Vec<_>>(), [made.index]);
        assert_ne!(veth.index, made.index);
    }

    #[test]
    fn a_name_that_is_taken_is_said_and_nothing_is_changed() {
        let mut rtnetlink = new_namespace();
        veth(&mut rtnetlink, "host0", "pod0", None);
        let error = rtnetlink.create(&NewLink::new("host0", NewLinkKind::Ifb)).unwrap_err();
        assert!(error.is_taken(), "{error}");
        assert!(rtnetlink.link_by_name("host0").unwrap().unwrap().is("veth"));
    }

    #[test]
    fn a_pair_is_created_with_everything_in_one_request() {
        let mut rtnetlink = new_namespace();
        let bridge = bridge(&mut rtnetlink, "br0");
        let peer = VethPeer { name: "pod0", mac: Some(MAC), namespace: None };
        let new = NewLink {
            mac: Some(Mac([2; 6])),
            mtu: Some(1400),
            master: Some(bridge.index),
            unfinished: true,
            ..NewLink::new("host0", NewLinkKind::Veth(peer))
        };
        let made = rtnetlink.create(&new).unwrap();
        let host = rtnetlink.link_by_index(made.index).unwrap().unwrap();
        let pod = rtnetlink.link_by_name("pod0").unwrap().unwrap();
        assert_eq!((made.peer, pod.peer), (Some(pod.index), Some(host.index)));
        assert_eq!((host.mac, pod.mac), (Some(Mac([2; 6])), Some(MAC)));
        assert_eq!((host.mtu, pod.mtu), (1400, 1400));
        assert_eq!((host.master, pod.master), (Some(bridge.index), None));
        assert!(!host.up && !pod.up && rtnetlink.is_maker_of(&host) && !pod.is_unfinished());
        for name in ["host0", "pod0"] {
            let shown = shown_by_ip(name);
            assert!(shown.contains("numtxqueues 1 ") && shown.contains("numrxqueues 1 "), "{shown}");
        }
    }

    #[test]
    fn a_macvlan_is_created_in_a_pods_namespace() {
        let pod = std::thread::spawn(|| {
            let _ = new_namespace();
            Namespace::open("/proc/thread-self/ns/net").unwrap()
        });
        let pod = pod.join().unwrap();
        let mut host = new_namespace();
        let parent = bridge(&mut host, "br0").index;
        let kind = NewLinkKind::Macvlan { parent, mode: MacvlanMode::Private };
        let new =
            NewLink { mac: Some(MAC), mtu: Some(1400), namespace: Some(&pod), ..NewLink::new("eth0", kind) };
        let made = host.create(&new).unwrap();
        assert!(made.is("macvlan") && made.peer == Some(parent));
        assert_eq!((made.name.as_str(), made.mac, made.mtu), ("eth0", Some(MAC), 1400));
        assert_eq!(host.link_by_name("eth0").unwrap(), None);
        let shown = pod.enter(|| Ok(shown_by_ip("eth0"))).unwrap();
        assert!(shown.contains("macvlan mode private"), "{shown}");
    }

    #[test]
    fn the_kernel_is_asked_for_kinds_and_nothing_is_made() {
        let mut rtnetlink = new_namespace();
        for kind in [
            NewLinkKind::Bridge { vlan_filtering: false },
            NewLinkKind::Ifb,
            NewLinkKind::PROBE_VETH,
            NewLinkKind::Macvlan { parent: 0, mode: MacvlanMode::Bridge },
        ] {
            rtnetlink.probe(kind).unwrap();
        }
        for kind in ["bridge", "ifb", "veth", "macvlan"] {
            assert_eq!(rtnetlink.links_of_kind(kind).unwrap(), [], "{kind}");
        }
        let mut unknown = LinkMessage::default();
        unknown.attributes.push(LinkAttribute::IfName(IMPOSSIBLE_NAME.to_owned()));
        let kind = LinkInfo::Kind(InfoKind::Other("nonsense".to_owned()));
        unknown.attributes.push(LinkAttribute::LinkInfo(vec![kind]));
        let refused = rtnetlink.probe_message(unknown, Feature::Bridge);
        assert!(
            matches!(refused, Err(Error::MissingFeature { feature: Feature::Bridge, .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn an_unfinished_link_is_in_its_makers_group() {
        let mut rtnetlink = new_namespace();
        let made = ifb(&mut rtnetlink, "bwp0");
        assert!(made.is_unfinished() && rtnetlink.is_maker_of(&made));
    }
}
