//! Bandwidth limits as people write them: quantities, annotations, limit ranges, bursts, and which of them counts.
//!
//! No kernel, no files: a plugin decides here on the limits of a pod, an admission webhook on what a pod may ask for, and
//! both with the same sentences.
//!
//! ```
//! use limits::{Direction, LimitRangeKeys, Sources};
//! use serde_json::{from_value, json};
//!
//! let range: LimitRangeKeys = from_value(json!({"ingress": {"max": "1G"}, "egress": {"default": "10M"}}))?;
//! let pod = Sources {
//!     annotations: from_value(json!({"kubernetes.io/ingress-bandwidth": "2G"}))?,
//!     range: range.for_namespace(Some("shop"))?,
//!     ..Sources::default()
//! };
//! let refusal = pod.limit(Direction::Ingress).unwrap_err().to_string();
//! assert_eq!(
//!     refusal,
//!     "annotation kubernetes.io/ingress-bandwidth: 2G asks for 2000000000 bits per second; \
//!      limitRange.ingress allows at most 1000000000"
//! );
//! assert_eq!(pod.limit(Direction::Egress)?.limit.unwrap().rate_bits_per_sec, 10_000_000);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod annotations;
mod burst;
mod direction;
mod error;
mod limit;
mod limit_range;
mod limit_range_keys;
mod precedence;
mod quantity;

pub use annotations::{Annotations, Asked};
pub use burst::{Burst, RuntimeBurst, burst_bits};
pub use direction::Direction;
pub use error::{Error, Result};
pub use limit::{Limit, LimitKeys};
pub use limit_range::{Admitted, LimitRange};
pub use limit_range_keys::LimitRangeKeys;
pub use precedence::{Decision, Sources};
pub use quantity::{Expected, RATES, quantity, rate};
