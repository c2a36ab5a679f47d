//! What the plugin chooses itself, and the keys by which an operator has a say in it.

use crate::error::{Error, Result};

/// A burst that nobody chose, in milliseconds of the rate: what passes at once after a pause. It covers the
/// time that a CPU is somewhere else; see `shaping` for how it was measured.
const BURST_MILLISECONDS: u64 = 20;
/// What may wait beyond the burst, in milliseconds of the rate: the reference's latency.
const LATENCY_MILLISECONDS: u64 = 25;
/// Less than a millisecond is no time for a scheduler, more than a second is no limit any more.
const MILLISECONDS: std::ops::RangeInclusive<u64> = 1..=1000;

/// How rates become filters where nobody wrote numbers down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Of a burst that nobody chose: 1 to 1,000.
    pub burst_milliseconds: u64,
    /// Of the queue, beyond the burst: 1 to 1,000.
    pub latency_milliseconds: u64,
    /// Whether the operator wrote the latency down: then the queue is that, and not what TCP would like.
    pub latency_is_given: bool,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            burst_milliseconds: BURST_MILLISECONDS,
            latency_milliseconds: LATENCY_MILLISECONDS,
            latency_is_given: false,
        }
    }
}

impl Choice {
    /// Checks the keys `burstMilliseconds` and `latencyMilliseconds`.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] outside of 1 to 1,000.
    pub fn from_keys(burst_milliseconds: Option<u64>, latency_milliseconds: Option<u64>) -> Result<Self> {
        let default = Self::default();
        Ok(Self {
            burst_milliseconds: milliseconds("burstMilliseconds", burst_milliseconds)?
                .unwrap_or(default.burst_milliseconds),
            latency_milliseconds: milliseconds("latencyMilliseconds", latency_milliseconds)?
                .unwrap_or(default.latency_milliseconds),
            latency_is_given: latency_milliseconds.is_some(),
        })
    }
}

fn milliseconds(key: &str, value: Option<u64>) -> Result<Option<u64>> {
    match value {
        Some(value) if !MILLISECONDS.contains(&value) => Err(Error::InvalidKey {
            key: key.to_owned(),
            value: value.to_string(),
            allowed: format!("{} to {} milliseconds of the rate", MILLISECONDS.start(), MILLISECONDS.end()),
        }),
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
            assert_eq!((choice.burst_milliseconds, choice.latency_milliseconds), (value, value));
        }
        for value in [0, 1001, u64::MAX] {
            let error = Choice::from_keys(Some(value), None).unwrap_err().to_string();
            assert!(error.contains(&format!("burstMilliseconds is {value}")), "{error}");
            assert!(error.contains("1 to 1000 milliseconds"), "{error}");
            let error = Choice::from_keys(None, Some(value)).unwrap_err().to_string();
            assert!(error.contains("latencyMilliseconds"), "{error}");
        }
        assert_eq!(Choice::from_keys(None, None).unwrap(), Choice::default());
    }
}
