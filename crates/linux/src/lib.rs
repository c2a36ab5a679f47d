//! The kernel's networking, as CNI plugins need it.
//!
//! Each operation is one request or a straight line of requests over a blocking netlink socket, or a file under
//! `/proc/sys`. This crate does not know CNI. Each function's documentation names the equivalent `ip` or `tc`
//! command.

mod address;
mod bridge_port;
mod bridge_vlan;
mod carrier;
mod change;
mod conntrack;
mod constants;
mod contention;
mod dad;
mod error;
mod events;
mod existing;
mod family;
mod feature;
mod file;
mod forwarding;
mod grace_period;
mod inhabited;
mod interface_name;
mod iptables;
mod link;
mod link_change;
mod link_deletion;
mod link_events;
mod mac;
mod modules;
mod multicast;
mod namespace;
pub mod netlink;
mod new_link;
mod peer;
mod route;
mod routes;
mod rtnetlink;
pub mod sysctl;
mod tc;
#[cfg(test)]
mod testing;
mod unfinished;

pub use address::{DuplicateDetection, LinkAddress};
pub use bridge_port::BridgePort;
pub use bridge_vlan::{BridgeVlans, PortVlans};
pub use change::Change;
pub use conntrack::{Conntrack, TrackedConnection, tracks_sctp};
pub use contention::Attempts;
pub use error::{Error, Result};
pub use family::Family;
pub use feature::Feature;
pub use file::{
    SymbolicLinks, could_make_file, create_new_private, create_private, open_regular, read_regular,
    replace_private, write_private,
};
pub use grace_period::wait_for_grace_period;
pub use interface_name::{InterfaceName, InvalidInterfaceName};
pub use iptables::legacy_nat_in_use;
pub use link::Link;
pub use link_events::{LinkEvents, Wakeup};
pub use mac::{Mac, ParseMacError};
pub use modules::are_available;
pub use namespace::{Namespace, in_new_namespace};
pub use new_link::{MacvlanMode, NewLink, NewLinkKind, VethPeer};
pub use peer::NamespaceNumber;
pub use route::Route;
pub use rtnetlink::Rtnetlink;
pub use tc::{End, Hook, Qdisc, QdiscStatistics, Rule, Tbf};
