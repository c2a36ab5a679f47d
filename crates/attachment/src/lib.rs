//! What every plugin does that gives a pod an interface.

mod addition;
mod addressing;
mod check;
mod claimant;
mod config;
mod del;
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
mod silent_pair;
mod status;

pub use addition::{Addition, Assigned};
pub use addressing::{Addressing, Roles, SMALLEST_MTU_OF_IPV6};
pub use check::Expected;
pub use claimant::{claimant, claimant_of};
pub use config::{Asked, Settings, gc_removes_running, ipam_of};
pub use del::del;
pub use error::{Error, Result, differs, of_namespace};
pub use gc::Collection;
pub use host_end::HostEnd;
pub use ipam::Ipam;
pub use owner::{Owner, SHAPED, created_for, host_end_of, named};
pub use status::{not_ready, status};
