//! What can go wrong, and the code that a runtime gets for it.

use cni::{Failure, code};
use ipnetwork::IpNetwork;
use linux::ParseMacError;

/// Result of a verb.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What every plugin that attaches pods has to say.
    #[error(transparent)]
    Attachment(#[from] attachment::Error),
    /// The kernel refused to check source addresses, or to stop it.
    #[error("macspoofchk: {0}")]
    SpoofCheck(linux::Error),
    /// Two keys exclude each other.
    #[error("hairpinMode and promiscMode: both are true; set only one, a frame would be received twice")]
    HairpinAndPromiscuous,
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
    /// The bridge has no free port.
    #[error(
        "bridge: {bridge:?} has no free port (the kernel allows 1023 on one bridge); use another bridge for more pods"
    )]
    BridgeFull {
        /// The bridge.
        bridge: String,
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
    /// STATUS: the kernel lacks something.
    #[error("bridge cannot attach containers: {0}")]
    NotReady(linux::Error),
    /// STATUS: the IPAM plugin is not there.
    #[error("bridge cannot attach containers: {0}")]
    NoIpam(cni::Error),
}

impl From<linux::Error> for Error {
    fn from(error: linux::Error) -> Self {
        attachment::Error::from(error).into()
    }
}

impl From<cni::Error> for Error {
    fn from(error: cni::Error) -> Self {
        attachment::Error::from(error).into()
    }
}

impl From<Error> for Failure {
    /// The one place that gives this plugin's errors their codes.
    fn from(error: Error) -> Self {
        let msg = error.to_string();
        match error {
            Error::Attachment(error) => error.into(),
            Error::HairpinAndPromiscuous
            | Error::IpamWithoutContainerInterface
            | Error::BridgeName(_)
            | Error::Mac { .. }
            | Error::MacNotAssignable { .. }
            | Error::NotABridge { .. }
            | Error::VlanId { .. }
            | Error::VlanTrunk { .. }
            | Error::VlanGatewayName { .. } => Self::new(code::INVALID_CONFIG, msg),
            Error::NotReady(_) | Error::NoIpam(_) => Self::new(code::NOT_AVAILABLE, msg),
            Error::SpoofCheck(_)
            | Error::BridgeFull { .. }
            | Error::OtherAddress { .. }
            | Error::BridgeMtu { .. }
            | Error::NotAVlanGateway { .. }
            | Error::VlanGatewayUnsettled { .. } => Self::new(code::INTERNAL, msg),
        }
    }
}
