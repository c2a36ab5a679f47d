//! What can go wrong, and the code that a runtime gets for it.

use std::net::IpAddr;

use cni::{Failure, code};
use ipnetwork::IpNetwork;
use linux::ParseMacError;
use nft::SpoofCheckFault;

/// Result of a verb.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The call or its config is wrong, or the IPAM plugin failed.
    #[error(transparent)]
    Protocol(#[from] cni::Error),
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] linux::Error),
    /// The kernel refused to check source addresses, or to stop it.
    #[error("macspoofchk: {0}")]
    SpoofCheck(linux::Error),
    /// `CNI_NETNS` cannot be used.
    #[error("CNI_NETNS: {0}")]
    Namespace(linux::Error),
    /// Two keys exclude each other.
    #[error("hairpinMode and promiscMode: both are true; set only one, a frame would be received twice")]
    HairpinAndPromiscuous,
    /// The MTU is none for Ethernet.
    #[error("mtu: {mtu} is not between {smallest} and {largest}, which is what the kernel takes")]
    Mtu {
        /// The value.
        mtu: i64,
        /// The least that is allowed.
        smallest: u32,
        /// The most that is allowed.
        largest: u32,
    },
    /// The MTU is too small for a pod with an IPv6 address.
    #[error(
        "mtu: {mtu} is less than {smallest}, which IPv6 needs (RFC 8200, section 5), and the pod gets {address}"
    )]
    MtuOfIpv6 {
        /// The value.
        mtu: u32,
        /// The least that is allowed.
        smallest: u32,
        /// The pod's address.
        address: IpNetwork,
    },
    /// The MTU of the bridge that is there is too small for an IPv6 gateway.
    #[error(
        "bridge: {bridge:?} has an MTU of {mtu}, and IPv6 needs {smallest} (RFC 8200, section 5): it cannot have the gateway's address {gateway}; raise its MTU, or that of the port which has the least"
    )]
    BridgeMtu {
        /// The bridge.
        bridge: String,
        /// Its MTU.
        mtu: u32,
        /// The least that is needed.
        smallest: u32,
        /// The gateway's address.
        gateway: IpNetwork,
    },
    /// The kernel refused a route because its next hop is out of reach.
    #[error(
        "{source}; a next hop must be in a subnet of the pod's addresses ({}), or have a route of scope 253 (link) before it", .addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    Unreachable {
        /// Which route, and the kernel's words.
        source: linux::Error,
        /// The pod's addresses.
        addresses: Vec<IpNetwork>,
    },
    /// An IPAM plugin would assign addresses to nobody.
    #[error("disableContainerInterface: true cannot be combined with ipam.type")]
    IpamWithoutContainerInterface,
    /// A VLAN's number is out of range.
    #[error("{key}: {value} is not between {smallest} and {largest}")]
    VlanId {
        /// Where it stands.
        key: String,
        /// The value.
        value: i64,
        /// The least that is allowed.
        smallest: u16,
        /// The most that is allowed.
        largest: u16,
    },
    /// An entry of `vlanTrunk` names no VLAN, or a range without one of its ends, or one that ends before it
    /// begins.
    #[error("vlanTrunk[{position}]: {problem}")]
    VlanTrunk {
        /// Its place in the list, from 0.
        position: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// The gateway's interface would have a name that no interface can have.
    #[error(
        "bridge: {bridge:?} is too long for a gateway in VLAN {vlan}: its interface would be {name:?}, and the kernel allows 15 bytes"
    )]
    VlanGatewayName {
        /// The bridge.
        bridge: String,
        /// The VLAN.
        vlan: u16,
        /// The name.
        name: String,
    },
    /// The name of the gateway's interface is taken.
    #[error(
        "{name:?} already exists but does not lead into VLAN {vlan} of bridge {bridge:?} (it is {kind}); rename it, or choose another bridge"
    )]
    NotAVlanGateway {
        /// The name.
        name: String,
        /// The VLAN.
        vlan: u16,
        /// The bridge.
        bridge: String,
        /// What it is.
        kind: String,
    },
    /// The gateway's interface could not be made.
    #[error("{name:?}, the gateway's interface, was made and deleted by others again and again for seconds")]
    VlanGatewayUnsettled {
        /// The name.
        name: String,
    },
    /// The bridge cannot have its name.
    #[error("bridge: {0}")]
    BridgeName(#[from] linux::InvalidInterfaceName),
    /// A hardware address cannot be read.
    #[error("{key}: {value:?} is no hardware address: {reason}")]
    Mac {
        /// Where it stands.
        key: &'static str,
        /// The value.
        value: String,
        /// What is wrong with it.
        reason: ParseMacError,
    },
    /// A hardware address that no interface can have.
    #[error("{key}: {value:?} is a multicast or zero address; an interface needs a unicast one")]
    MacNotAssignable {
        /// Where it stands.
        key: &'static str,
        /// The value.
        value: String,
    },
    /// A link of the bridge's name is something else.
    #[error("bridge: {name:?} already exists but is not a bridge (it is {kind}); choose another name")]
    NotABridge {
        /// The name.
        name: String,
        /// What it is.
        kind: String,
    },
    /// The container has an interface of that name already.
    #[error(
        "CNI_IFNAME: container {container_id} already has an interface {interface:?} in {netns}; call DEL first"
    )]
    InterfaceTaken {
        /// The container.
        container_id: String,
        /// The name.
        interface: String,
        /// The container's namespace.
        netns: String,
    },
    /// The host's end of this attachment is there already.
    #[error(
        "{host} on the host already belongs to container {container_id}, interface {interface:?}; call DEL first"
    )]
    AlreadyAttached {
        /// The host's end.
        host: String,
        /// The container.
        container_id: String,
        /// The interface.
        interface: String,
    },
    /// Every name for the host's end is taken by somebody else.
    #[error(
        "no free name for the host's end of container {container_id}, interface {interface:?}: {tried} is taken by another link"
    )]
    NoHostName {
        /// The container.
        container_id: String,
        /// The interface.
        interface: String,
        /// The last name that was tried.
        tried: String,
    },
    /// The bridge has no free port.
    #[error(
        "bridge: {bridge:?} has no free port (the kernel allows 1023 on one bridge); use another bridge for more pods"
    )]
    BridgeFull {
        /// The bridge.
        bridge: String,
    },
    /// The IPAM plugin returned no address.
    #[error("IPAM plugin {ipam:?} returned missing IP config: want at least one address")]
    NoAddress {
        /// The plugin.
        ipam: String,
    },
    /// A gateway cannot be derived.
    #[error(
        "isGateway: no gateway for {address}: the IPAM plugin names none and the subnet has no first address"
    )]
    NoGateway {
        /// The pod's address.
        address: IpNetwork,
    },
    /// A gateway that the pod cannot have, or the bridge as the pod's gateway.
    #[error("ipam.gateway: {gateway} {problem} (the pod's address is {address})")]
    Gateway {
        /// The value.
        gateway: IpAddr,
        /// The pod's address.
        address: IpNetwork,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A route's next hop is of another address family than its destination.
    #[error("ipam.routes: the next hop {next_hop} of {destination} is of another address family")]
    NextHop {
        /// The route's destination.
        destination: IpNetwork,
        /// Its next hop (`gw`).
        next_hop: IpAddr,
    },
    /// The bridge has another address of the same subnet or family.
    #[error(
        "{bridge:?} already has an IP address different from {wanted}: {found}; remove it or set forceAddress"
    )]
    OtherAddress {
        /// The bridge.
        bridge: String,
        /// The address that the config wants.
        wanted: IpNetwork,
        /// The address that is there.
        found: IpNetwork,
    },
    /// CHECK needs the result of ADD.
    #[error("prevResult is missing: CHECK needs the result of ADD")]
    NoPrevResult,
    /// CHECK: something is not as ADD left it.
    #[error("{0}")]
    Differs(Difference),
    /// DEL does not know whether the interface is gone.
    #[error(
        "the addresses of container {container_id} stay reserved: its interface may still have them; call DEL again"
    )]
    AddressesKept {
        /// The container.
        container_id: String,
    },
    /// DEL or GC could not remove everything.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Several(Vec<Error>),
    /// STATUS: the kernel lacks something.
    #[error("bridge cannot attach containers: {0}")]
    NotReady(linux::Error),
    /// STATUS: the IPAM plugin is not there.
    #[error("bridge cannot attach containers: {0}")]
    NoIpam(cni::Error),
}

/// What CHECK found to be different.
#[derive(Debug, thiserror::Error)]
pub enum Difference {
    /// The bridge is gone.
    #[error("bridge {0:?} does not exist any more")]
    BridgeGone(String),
    /// The container's interface is gone.
    #[error("interface {interface:?} does not exist any more in {netns}")]
    InterfaceGone {
        /// The interface.
        interface: String,
        /// The container's namespace.
        netns: String,
    },
    /// The container's interface is not ours.
    #[error("interface {interface:?} in {netns} is no veth device any more")]
    NotVeth {
        /// The interface.
        interface: String,
        /// The container's namespace.
        netns: String,
    },
    /// The container's interface is down.
    #[error("interface {interface:?} in {netns} is down")]
    Down {
        /// The interface.
        interface: String,
        /// The container's namespace.
        netns: String,
    },
    /// The host's end or the bridge is down.
    #[error("{0:?} on the host is down")]
    HostLinkDown(String),
    /// The host's end is gone from the bridge.
    #[error("the host's end of {interface:?} is not a port of bridge {bridge:?} any more")]
    NotAPort {
        /// The interface.
        interface: String,
        /// The bridge.
        bridge: String,
    },
    /// The hardware address changed.
    #[error("interface {interface:?} in {netns} has hardware address {found}, the result says {wanted}")]
    Mac {
        /// The interface.
        interface: String,
        /// The container's namespace.
        netns: String,
        /// The address it has.
        found: String,
        /// The address in the result.
        wanted: String,
    },
    /// An address is gone.
    #[error("address {address} is gone from interface {interface:?} in {netns}")]
    AddressGone {
        /// The address.
        address: IpNetwork,
        /// The interface.
        interface: String,
        /// The container's namespace.
        netns: String,
    },
    /// A route is gone.
    #[error("the route to {destination}{} is gone from {netns}", gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default())]
    RouteGone {
        /// Its destination.
        destination: IpNetwork,
        /// Its next hop.
        gateway: Option<IpAddr>,
        /// The container's namespace.
        netns: String,
    },
    /// The gateway's address is gone from the bridge, or from its interface in a VLAN.
    #[error("gateway address {address} is gone from {interface:?}")]
    GatewayGone {
        /// The address.
        address: IpNetwork,
        /// The interface.
        interface: String,
    },
    /// A setting of the port or the bridge that the config asks for is off.
    #[error("{key} is true, but it is off for {link:?} on the host")]
    Off {
        /// The config's key.
        key: &'static str,
        /// The port or the bridge.
        link: String,
    },
    /// The bridge does not filter by VLANs any more.
    #[error("bridge {0:?} does not filter by VLANs (vlan_filtering is 0): its ports are not kept apart")]
    NotFiltering(String),
    /// A port does not carry a VLAN as it should.
    #[error("bridge port {port:?} does not carry VLAN {vids} {role}")]
    Vlan {
        /// The port.
        port: String,
        /// The VLAN or the range.
        vids: String,
        /// In which way it should.
        role: &'static str,
    },
    /// The gateway's interface in a VLAN is gone.
    #[error("{0:?}, the gateway's interface, does not exist any more")]
    VlanGatewayGone(String),
    /// Masquerading is not in force.
    #[error("masquerading: {0}")]
    Masquerade(String),
    /// Source addresses of frames are not checked as they should be.
    #[error("macspoofchk: {0}")]
    SpoofCheck(SpoofCheckFault),
}

impl Error {
    /// The error for a failure with the namespace of `CNI_NETNS`. The variable is not to blame when this process may
    /// not open one more file, or gets no socket.
    pub(crate) fn of_namespace(error: linux::Error) -> Self {
        if error.is_bad_namespace() { Self::Namespace(error) } else { Self::Kernel(error) }
    }
}

impl From<Error> for Failure {
    /// The one place that gives this plugin's errors their codes.
    fn from(error: Error) -> Self {
        let msg = error.to_string();
        match error {
            Error::Protocol(error) => error.into(),
            Error::Namespace(_) | Error::InterfaceTaken { .. } => Self::new(code::INVALID_ENVIRONMENT, msg),
            Error::HairpinAndPromiscuous
            | Error::Mtu { .. }
            | Error::MtuOfIpv6 { .. }
            | Error::IpamWithoutContainerInterface
            | Error::BridgeName(_)
            | Error::Mac { .. }
            | Error::MacNotAssignable { .. }
            | Error::NotABridge { .. }
            | Error::VlanId { .. }
            | Error::VlanTrunk { .. }
            | Error::VlanGatewayName { .. }
            | Error::Gateway { .. }
            | Error::NextHop { .. }
            | Error::NoPrevResult => Self::new(code::INVALID_CONFIG, msg),
            Error::NotReady(_) | Error::NoIpam(_) => Self::new(code::NOT_AVAILABLE, msg),
            Error::Several(mut errors) if errors.len() == 1 => errors.remove(0).into(),
            Error::Kernel(_)
            | Error::SpoofCheck(_)
            | Error::AlreadyAttached { .. }
            | Error::NoHostName { .. }
            | Error::BridgeFull { .. }
            | Error::NoAddress { .. }
            | Error::NoGateway { .. }
            | Error::OtherAddress { .. }
            | Error::BridgeMtu { .. }
            | Error::Unreachable { .. }
            | Error::NotAVlanGateway { .. }
            | Error::VlanGatewayUnsettled { .. }
            | Error::Differs(_)
            | Error::AddressesKept { .. }
            | Error::Several(_) => Self::new(code::INTERNAL, msg),
        }
    }
}
