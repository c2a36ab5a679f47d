//! What the plugin chooses itself, and the keys by which an operator has a say in it.

use limits::Burst;

use cni::Failure;

use crate::error::Result;

/// A burst that nobody chose, in milliseconds of the rate: what passes at once after a pause. It covers the
/// time that a CPU is somewhere else; see `shaping` for how it was measured.
const BURST_MILLISECONDS: u64 = 40;
/// What may wait beyond a burst that somebody chose, in milliseconds of the rate: the reference's latency.
const LATENCY_MILLISECONDS: u64 = 25;
/// What may wait in all where nobody chose a burst, in milliseconds of the rate ...
const OWN_QUEUE_MILLISECONDS: u64 = 45;
/// ... and beyond the burst at least so much of it.
const OWN_LATENCY_LEAST_MILLISECONDS: u64 = 5;
/// Less than a millisecond is no time for a scheduler, more than a second is no limit any more.
const MILLISECONDS: std::ops::RangeInclusive<u64> = 1..=1000;

/// How rates become filters where nobody wrote numbers down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Of a burst that nobody chose: 1 to 1,000.
    pub burst_milliseconds: u64,
    /// Of the queue, beyond the burst, where the operator wrote it down: 1 to 1,000.
    pub latency_milliseconds: Option<u64>,
}

impl Default for Choice {
    fn default() -> Self {
        Self { burst_milliseconds: BURST_MILLISECONDS, latency_milliseconds: None }
    }
}

impl Choice {
    /// Checks the keys `burstMilliseconds` and `latencyMilliseconds`.
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

    /// What may wait beyond this burst, in milliseconds of the rate.
    pub fn latency_milliseconds(&self, burst: Burst) -> u64 {
        self.latency_milliseconds.unwrap_or_else(|| match burst {
            Burst::Chosen { .. } => LATENCY_MILLISECONDS,
            Burst::NotChosen => OWN_QUEUE_MILLISECONDS
                .saturating_sub(self.burst_milliseconds)
                .max(OWN_LATENCY_LEAST_MILLISECONDS),
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
    fn the_bounds_are_allowed_and_what_is_beyond_is_named() {
        for value in [1, 1000] {
            let choice = Choice::from_keys(Some(value), Some(value)).unwrap();
            assert_eq!((choice.burst_milliseconds, choice.latency_milliseconds), (value, Some(value)));
        }
        for value in [0, 1001, u64::MAX] {
            let error = Choice::from_keys(Some(value), None).unwrap_err().to_string();
            assert!(error.contains(&format!("burstMilliseconds: {value}")), "{error}");
            assert!(error.contains("between 1 and 1000 milliseconds"), "{error}");
            let error = Choice::from_keys(None, Some(value)).unwrap_err().to_string();
            assert!(error.contains("latencyMilliseconds"), "{error}");
        }
        assert_eq!(Choice::from_keys(None, None).unwrap(), Choice::default());
    }
}
