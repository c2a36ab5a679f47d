//! What every plugin does that gives a pod an interface.

mod addition;
mod addressing;
pub mod check;
mod config;
mod del;
mod error;
mod gateway;
mod gc;
mod gc_pairs;
pub mod host_end;
mod ipam;
mod node_id;
pub mod pair;
pub mod pod_end;
pub mod pod_mac;
mod reference;
mod silent_pair;

pub use addition::{Addition, Assigned};
pub use addressing::{Addressing, Roles, SMALLEST_MTU_OF_IPV6};
pub use config::{Asked, Settings, gc_removes_running, ipam_of};
pub use del::{del, owner};
pub use error::{Error, Result};
pub use gc::Collection;
pub use host_end::HostEnd;
pub use ipam::Ipam;
