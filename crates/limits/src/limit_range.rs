//! A limit range: the rates that a pod may ask for, and the one that it gets unasked.

use crate::annotations::Asked;
use crate::direction::Direction;
use crate::error::{Error, Result};

/// The range of one namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimitRange {
    /// Where it stands in the config, for messages.
    pub(crate) key: String,
    pub(crate) ingress: Range,
    pub(crate) egress: Range,
    /// Whether a pod that asks for a rate outside gets the nearest one inside.
    pub(crate) clamps: bool,
}

/// Rates in bits per second, `min <= default <= max` where they are there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Range {
    pub default: Option<u64>,
    pub min: Option<u64>,
    pub max: Option<u64>,
}

/// The rate that a pod gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The rate.
    pub rate_bits_per_sec: u64,
    /// A sentence for the log where it is another one than the pod asked for.
    pub warning: Option<String>,
}

impl Admitted {
    pub(crate) fn unchanged(rate_bits_per_sec: u64) -> Self {
        Self { rate_bits_per_sec, warning: None }
    }
}

impl LimitRange {
    /// Returns the rate of a pod that asks for none: the default, or else the maximum, as with Kubernetes' own limit
    /// ranges. No limit at all would be more than the maximum.
    pub fn default_rate(&self, direction: Direction) -> Option<u64> {
        let range = self.of(direction);
        range.default.or(range.max)
    }

    /// Returns the rate of a pod that asks for one.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], unless the range says `clamp`: then the pod gets the nearest rate inside, and a warning says
    /// so.
    pub fn admit(&self, direction: Direction, asked: &Asked) -> Result<Admitted> {
        let Range { min, max, .. } = *self.of(direction);
        let (least, most) = (min.unwrap_or(0), max.unwrap_or(u64::MAX));
        if (least..=most).contains(&asked.rate_bits_per_sec) {
            return Ok(Admitted::unchanged(asked.rate_bits_per_sec));
        }
        let error = Error::OutOfRange {
            asked_by: asked.by.clone(),
            rate_bits_per_sec: asked.rate_bits_per_sec,
            range: format!("{}.{direction}", self.key),
            allowed: match (min, max) {
                (Some(min), Some(max)) => format!("{min} to {max}"),
                (Some(min), None) => format!("at least {min}"),
                (None, _) => format!("at most {most}"),
            },
        };
        if !self.clamps {
            return Err(error);
        }
        let rate_bits_per_sec = asked.rate_bits_per_sec.clamp(least, most);
        let warning = Some(format!("{error}; the pod gets {rate_bits_per_sec}"));
        Ok(Admitted { rate_bits_per_sec, warning })
    }

    fn of(&self, direction: Direction) -> &Range {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::LimitRangeKeys;
    use Direction::{Egress, Ingress};

    fn range(namespace: Option<&str>) -> LimitRange {
        let config = json!({
            "ingress": {"default": "10M", "min": "1M", "max": "1G"},
            "egress": {"max": 5_000_000},
            "namespaces": {
                "free": {},
                "small": {"Ingress": {"max": "2M"}, "outOfRange": "clamp"},
            },
        });
        read(&config, namespace)
    }

    fn read(config: &Value, namespace: Option<&str>) -> LimitRange {
        cni::decode::<LimitRangeKeys>(config).unwrap().for_namespace(namespace).unwrap()
    }

    fn asked(rate_bits_per_sec: u64) -> Asked {
        Asked { by: "annotation x: 7".to_owned(), rate_bits_per_sec }
    }

    #[test]
    fn a_rate_inside_passes_and_one_outside_is_refused_with_the_range() {
        let range = range(Some("shop"));
        for inside in [1_000_000, 10_000_000, 1_000_000_000] {
            assert_eq!(range.admit(Ingress, &asked(inside)).unwrap(), Admitted::unchanged(inside));
        }
        for outside in [999_999, 1_000_000_001] {
            let error = range.admit(Ingress, &asked(outside)).unwrap_err().to_string();
            let parts =
                ["annotation x: 7", &outside.to_string(), "limitRange.ingress", "1000000 to 1000000000"];
            for part in parts {
                assert!(error.contains(part), "{part}: {error}");
            }
        }
    }

    #[test]
    fn a_namespaces_entry_replaces_the_general_one() {
        let small = range(Some("small"));
        let clamped = small.admit(Ingress, &asked(5_000_000)).unwrap();
        assert_eq!(clamped.rate_bits_per_sec, 2_000_000);
        let warning = clamped.warning.unwrap();
        for part in ["annotation x: 7", "5000000", "limitRange.namespaces.small.ingress", "gets 2000000"] {
            assert!(warning.contains(part), "{part}: {warning}");
        }
        assert_eq!(small.default_rate(Egress), None);
        let free = range(Some("free"));
        assert_eq!((free.default_rate(Ingress), free.default_rate(Egress)), (None, None));
        assert_eq!(free.admit(Ingress, &asked(1_000)).unwrap(), Admitted::unchanged(1_000));
    }

    #[test]
    fn a_pod_that_asks_for_nothing_gets_the_default_or_else_the_maximum() {
        let general = range(None);
        assert_eq!(general.default_rate(Ingress), Some(10_000_000));
        assert_eq!(general.default_rate(Egress), Some(5_000_000));
        let only_min = read(&json!({"ingress": {"min": "1M"}}), None);
        assert_eq!(only_min.default_rate(Ingress), None);
    }
}
