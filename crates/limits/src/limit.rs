//! A limit, and the four keys that set limits.

use serde::Deserialize;

use crate::burst::Burst;
use crate::direction::Direction;
use crate::error::{Error, Result};
use crate::quantity::{RATE, RATES};

/// The limit of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// [`RATES`]; what an earlier version of weir recorded may be less.
    pub rate_bits_per_sec: u64,
    /// What may pass at once.
    pub burst: Burst,
}

/// `ingressRate`, `ingressBurst`, `egressRate` and `egressBurst`, as they stand in the plugin's config and in the
/// capability `bandwidth` of a runtime: bits per second, and bits.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LimitKeys {
    ingress_rate: Option<u64>,
    ingress_burst: Option<u64>,
    egress_rate: Option<u64>,
    egress_burst: Option<u64>,
}

impl LimitKeys {
    /// Whether any of the keys is set, to 0 too.
    pub(crate) fn any(&self) -> bool {
        let Self { ingress_rate, ingress_burst, egress_rate, egress_burst } = self;
        [ingress_rate, ingress_burst, egress_rate, egress_burst].iter().any(|key| key.is_some())
    }

    /// Returns rate and burst of one direction; absent and 0 are the same. `prefix` stands before the keys in messages.
    ///
    /// # Errors
    /// [`Error::Incomplete`]; [`Error::InvalidValue`] for a rate outside of [`RATES`].
    pub(crate) fn of(&self, prefix: &str, direction: Direction) -> Result<Option<(u64, u64)>> {
        let (rate, burst) = match direction {
            Direction::Ingress => (self.ingress_rate, self.ingress_burst),
            Direction::Egress => (self.egress_rate, self.egress_burst),
        };
        let key = |what| format!("{prefix}{direction}{what}");
        match (rate.unwrap_or_default(), burst.unwrap_or_default()) {
            (0, 0) => Ok(None),
            (0, burst) => Err(Error::Incomplete { key: key("Burst"), value: burst, other: key("Rate") }),
            (rate, 0) => Err(Error::Incomplete { key: key("Rate"), value: rate, other: key("Burst") }),
            (rate, _) if !RATES.contains(&rate) => Err(Error::invalid(key("Rate"), rate.to_string(), RATE.0)),
            limit => Ok(Some(limit)),
        }
    }
}
