//! What can go wrong, and the code that a runtime gets for it.

use std::net::IpAddr;

use cni::{Failure, Request, code};
use ipnetwork::IpNetwork;

/// Result of an operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a pod was not attached, checked or detached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The call or its config is wrong, or the IPAM plugin failed.
    #[error(transparent)]
    Protocol(#[from] cni::Error),
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] linux::Error),
    /// `CNI_NETNS` cannot be used.
    #[error("CNI_NETNS: {0}")]
    Namespace(linux::Error),
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
    /// CHECK needs the result of ADD.
    #[error("prevResult is missing: CHECK needs the result of ADD")]
    NoPrevResult,
    /// DEL does not know whether the interface is gone.
    #[error(
        "the addresses of container {container_id} stay reserved: its interface may still have them; call DEL again"
    )]
    AddressesKept {
        /// The container.
        container_id: String,
    },
    /// CHECK: something is not as ADD left it. The sentence says what, and how it is now.
    #[error("{0}")]
    Differs(String),
}

impl Error {
    /// The error for a failure with the namespace of `CNI_NETNS`. The variable is not to blame when this process may
    /// not open one more file, or gets no socket.
    pub fn of_namespace(error: linux::Error) -> Self {
        if error.is_bad_namespace() { Self::Namespace(error) } else { Self::Kernel(error) }
    }

    pub(crate) fn interface_taken(request: &Request) -> Self {
        Self::InterfaceTaken {
            container_id: request.container_id().to_owned(),
            interface: request.interface().to_owned(),
            netns: request.netns().unwrap_or_default().to_owned(),
        }
    }

    pub(crate) fn already_attached(request: &Request, host: String) -> Self {
        Self::AlreadyAttached {
            host,
            container_id: request.container_id().to_owned(),
            interface: request.interface().to_owned(),
        }
    }
}

impl From<Error> for Failure {
    /// The one place that gives these errors their codes.
    fn from(error: Error) -> Self {
        let msg = error.to_string();
        match error {
            Error::Protocol(error) => error.into(),
            Error::Namespace(_) | Error::InterfaceTaken { .. } => Self::new(code::INVALID_ENVIRONMENT, msg),
            Error::Mtu { .. }
            | Error::MtuOfIpv6 { .. }
            | Error::Gateway { .. }
            | Error::NextHop { .. }
            | Error::NoPrevResult => Self::new(code::INVALID_CONFIG, msg),
            Error::Kernel(_)
            | Error::AlreadyAttached { .. }
            | Error::NoHostName { .. }
            | Error::NoAddress { .. }
            | Error::NoGateway { .. }
            | Error::Unreachable { .. }
            | Error::Differs(_)
            | Error::AddressesKept { .. } => Self::new(code::INTERNAL, msg),
        }
    }
}
