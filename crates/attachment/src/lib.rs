//! The work that is the same for every plugin that gives a pod an interface.
//!
//! | question | file |
//! |---|---|
//! | which attachment an interface belongs to | `owner.rs` |
//! | name and hardware address of the host's end | `host_end.rs` |
//! | hardware address of the pod's end | `pod_mac.rs` |
//! | addresses, gateways and routes from the IPAM plugin's answer | `addressing.rs`, `gateway.rs` |
//! | kernel parameters, addresses and routes in the pod | `pod_end.rs` |
//! | the steps of ADD, and their undo | `addition.rs` |
//! | the result of ADD | `result.rs` |
//! | DEL, and how it finds the pair | `del.rs`, `pair.rs`, `silent_pair.rs` |
//! | CHECK against `prevResult` | `check.rs` |
//! | GC, and the running pods that it spares | `gc.rs`, `gc_pairs.rs`, `running.rs` |
//! | `ipMasq` in nf_tables | `masquerade/` |
//! | leftovers of the reference plugins in nf_tables | `reference.rs`, `leftovers.rs` |
//!
//! A plugin reads [`Settings`] and its own keys, and takes the steps of an [`Addition`] with its own between them;
//! `ptp` is the shortest example.

mod addition;
mod addressing;
mod check;
mod claimant;
mod config;
mod del;
mod digest;
mod error;
mod gateway;
mod gc;
mod gc_pairs;
mod host_end;
mod ipam;
mod leftovers;
pub mod masquerade;
mod node_id;
mod owner;
mod pair;
mod pod_end;
mod pod_mac;
mod reference;
mod result;
mod running;
mod silent_pair;
mod status;

pub use addition::{Addition, Assigned};
pub use addressing::{Addressing, Roles, SMALLEST_MTU_OF_IPV6};
pub use check::Expected;
pub use claimant::{claimant, claimant_of, is_claimant_in};
pub use config::{Settings, check_mtu_for, ethernet_mtu, unicast_mac};
pub use del::del;
pub use digest::mac;
pub use error::{Error, Result, differs, of_namespace};
pub use gc::Collection;
pub use host_end::HostEnd;
pub use owner::{Owner, SHAPED, created_for, host_end_of, named};
pub use running::RunningPods;
pub use silent_pair::attached_mac;
pub use status::{not_ready, status};
