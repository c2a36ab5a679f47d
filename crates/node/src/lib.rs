//! The node as an operator or an agent sees it: its attachments, their limits, also as metrics, and the addresses that
//! `host-local` holds.
//!
//! Nothing here prints or parses a command line. Results are structs, and an [`Error`] is shown as a sentence.

mod addresses;
mod attachments;
mod cached_result;
mod cached_results;
mod error;
mod limit_change;
mod metrics;
mod networks;
mod node;
mod read_file;
mod target;

pub use addresses::{Addresses, Wanted, release};
pub use attachments::{AttachmentState, Attachments, PodEnd};
pub use bandwidth::{Desired, NotInEffect, Pair, ShapedDirection};
pub use cni::Attachment;
pub use error::{Error, Result};
pub use host_local::{Audit, Evidence, Holder, Network, RangeSummary, Reserved, State};
pub use limit_change::{LimitChange, change_limits};
pub use metrics::{Metric, Sample, limit_metrics};
pub use networks::Folders;
pub use node::Node;
pub use read_file::{MAX_BYTES, read_file};
pub use target::Target;
