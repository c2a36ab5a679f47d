//! `burstMilliseconds` and `latencyMilliseconds`: bursts and queues as parts of the rate.

use cni::Failure;
use limits::Burst;

use crate::error::Result;

/// A burst that was not chosen, in milliseconds of the rate; `shaping` tells how it was measured.
const BURST_MILLISECONDS: u64 = 40;
/// What may wait beyond a chosen burst, in milliseconds of the rate: the reference's latency.
const LATENCY_MILLISECONDS: u64 = 25;
/// What may wait in all where the burst was not chosen, in milliseconds of the rate ...
const QUEUE_MILLISECONDS: u64 = 45;
/// ... of which at least these beyond the burst.
const LATENCY_MIN_MILLISECONDS: u64 = 5;
/// The scheduler needs a millisecond; more than a second would not limit.
const MILLISECONDS: std::ops::RangeInclusive<u64> = 1..=1000;

/// The lengths of burst and queue, where a limit does not set them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timing {
    /// Of a burst that was not chosen: 1 to 1,000.
    pub burst_milliseconds: u64,
    /// Of the queue, beyond the burst, where the config sets it: 1 to 1,000.
    pub latency_milliseconds: Option<u64>,
}

impl Default for Timing {
    fn default() -> Self {
        Self { burst_milliseconds: BURST_MILLISECONDS, latency_milliseconds: None }
    }
}

impl Timing {
    /// Reads the keys `burstMilliseconds` and `latencyMilliseconds`.
    ///
    /// # Errors
    /// A value outside of 1 to 1,000.
    pub fn from_keys(burst_milliseconds: Option<u64>, latency_milliseconds: Option<u64>) -> Result<Self> {
        Ok(Self {
            burst_milliseconds: milliseconds("burstMilliseconds", burst_milliseconds)?
                .unwrap_or(BURST_MILLISECONDS),
            latency_milliseconds: milliseconds("latencyMilliseconds", latency_milliseconds)?,
        })
    }

    /// Returns what may wait beyond this burst, in milliseconds of the rate.
    pub fn latency_milliseconds(&self, burst: Burst) -> u64 {
        self.latency_milliseconds.unwrap_or_else(|| match burst {
            Burst::Chosen { .. } => LATENCY_MILLISECONDS,
            Burst::NotChosen => {
                QUEUE_MILLISECONDS.saturating_sub(self.burst_milliseconds).max(LATENCY_MIN_MILLISECONDS)
            }
        })
    }
}

fn milliseconds(key: &str, value: Option<u64>) -> Result<Option<u64>> {
    match value {
        Some(value) if !MILLISECONDS.contains(&value) => {
            Err(Failure::invalid_value(key, value, "between 1 and 1000 milliseconds of the rate").into())
        }
        value => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_allowed_and_a_value_beyond_them_is_refused() {
        for value in [1, 1000] {
            let timing = Timing::from_keys(Some(value), Some(value)).unwrap();
            assert_eq!((timing.burst_milliseconds, timing.latency_milliseconds), (value, Some(value)));
        }
        for value in [0, 1001, u64::MAX] {
            let error = Timing::from_keys(Some(value), None).unwrap_err().to_string();
            assert!(error.contains(&format!("burstMilliseconds: {value}")), "{error}");
            assert!(error.contains("between 1 and 1000 milliseconds"), "{error}");
            let error = Timing::from_keys(None, Some(value)).unwrap_err().to_string();
            assert!(error.contains("latencyMilliseconds"), "{error}");
        }
        assert_eq!(Timing::from_keys(None, None).unwrap(), Timing::default());
    }
}
