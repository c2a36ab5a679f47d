//! Bandwidth limits as people write them: quantities, annotations, limit ranges, bursts, and which of them counts.
//!
//! No kernel, no files: a plugin decides here what a pod gets, an admission webhook what a pod may ask for, and both
//! with the same sentences.

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
