//! `limitRange`: what a pod may ask for, and what it gets when it asks for nothing, by namespace.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use crate::direction::Direction;
use crate::error::{Error, Result};
use crate::quantity::rate;

const KEY: &str = "limitRange";

/// The key's value as it stands in the config. An unknown key in it is refused: a policy must not vanish by a typo.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct LimitRangeKeys {
    ingress: RangeKeys,
    egress: RangeKeys,
    out_of_range: Option<String>,
    namespaces: HashMap<String, NamespaceKeys>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct NamespaceKeys {
    ingress: RangeKeys,
    egress: RangeKeys,
    out_of_range: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RangeKeys {
    default: Option<Value>,
    min: Option<Value>,
    max: Option<Value>,
}

/// The range of one namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LimitRange {
    /// Where it stands in the config, for messages.
    key: String,
    ingress: Range,
    egress: Range,
    clamps: bool,
}

/// Rates in bits per second, `min <= default <= max` where they are there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Range {
    default: Option<u64>,
    min: Option<u64>,
    max: Option<u64>,
}

impl LimitRangeKeys {
    /// The range for a pod of `namespace`: the entry under `namespaces`, which stands for the general one as a
    /// whole, or else the general one. Every entry is checked, whatever the pod's namespace.
    ///
    /// # Errors
    /// [`Error::InvalidRate`] for a value that is no rate; [`Error::InvalidKey`] for a `default` outside of `min` to
    /// `max`, an unknown `outOfRange`, and a name that no namespace can have.
    pub fn for_namespace(self, namespace: Option<&str>) -> Result<LimitRange> {
        let mut chosen = read(KEY.to_owned(), &self.ingress, &self.egress, self.out_of_range.as_deref())?;
        for (name, keys) in &self.namespaces {
            let key = format!("{KEY}.namespaces.{name}");
            if !is_namespace(name) {
                return Err(Error::InvalidKey {
                    key: format!("{KEY}.namespaces"),
                    value: format!("{name:?}"),
                    allowed: "the name of a Kubernetes namespace: at most 63 of a-z, 0-9 and -, not - at either end"
                        .to_owned(),
                });
            }
            let range = read(key, &keys.ingress, &keys.egress, keys.out_of_range.as_deref())?;
            if Some(name.as_str()) == namespace {
                chosen = range;
            }
        }
        Ok(chosen)
    }
}

/// Whether a namespace can have this name: a label as in RFC 1123, as Kubernetes wants it.
fn is_namespace(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn read(
    key: String,
    ingress: &RangeKeys,
    egress: &RangeKeys,
    out_of_range: Option<&str>,
) -> Result<LimitRange> {
    let clamps = match out_of_range {
        None | Some("refuse") => false,
        Some("clamp") => true,
        Some(other) => {
            return Err(Error::InvalidKey {
                key: format!("{key}.outOfRange"),
                value: format!("{other:?}"),
                allowed: "\"refuse\" (the default) or \"clamp\"".to_owned(),
            });
        }
    };
    let ingress = Range::read(&format!("{key}.ingress"), ingress)?;
    let egress = Range::read(&format!("{key}.egress"), egress)?;
    Ok(LimitRange { key, ingress, egress, clamps })
}

impl Range {
    fn read(key: &str, keys: &RangeKeys) -> Result<Self> {
        let read = |name: &str, value: &Option<Value>| {
            value.as_ref().map(|value| read_rate(&format!("{key}.{name}"), value)).transpose()
        };
        let range = Self {
            default: read("default", &keys.default)?,
            min: read("min", &keys.min)?,
            max: read("max", &keys.max)?,
        };
        let ordered = |name: &str, value: Option<u64>, bound: &str, most: Option<u64>| match (value, most) {
            (Some(value), Some(most)) if value > most => Err(Error::InvalidKey {
                key: format!("{key}.{name}"),
                value: value.to_string(),
                allowed: format!("at most {bound}, which is {most}"),
            }),
            _ => Ok(()),
        };
        ordered("default", range.default, "max", range.max)?;
        ordered("min", range.min, "default", range.default)?;
        ordered("min", range.min, "max", range.max)?;
        Ok(range)
    }
}

/// A rate as a quantity (`"10M"`) or as a number of bits per second.
fn read_rate(key: &str, value: &Value) -> Result<u64> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    rate(&text).map_err(|problem| Error::InvalidRate {
        key: key.to_owned(),
        value: value.to_string(),
        problem,
    })
}

impl LimitRange {
    /// What a pod gets that asks for nothing: the default, or else the most that it may ask for, as Kubernetes'
    /// own limit ranges have it. No limit at all would be more than the most.
    pub fn default_rate(&self, direction: Direction) -> Option<u64> {
        let range = self.of(direction);
        range.default.or(range.max)
    }

    /// The rate that a pod gets that asks for `rate_bits_per_sec` by `asked_by`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], unless the config says that such a rate is brought into the range; then that is
    /// said on standard error.
    pub fn admit(&self, direction: Direction, rate_bits_per_sec: u64, asked_by: &str) -> Result<u64> {
        let Range { min, max, .. } = *self.of(direction);
        let (least, most) = (min.unwrap_or(0), max.unwrap_or(u64::MAX));
        if (least..=most).contains(&rate_bits_per_sec) {
            return Ok(rate_bits_per_sec);
        }
        let error = Error::OutOfRange {
            asked_by: asked_by.to_owned(),
            rate_bits_per_sec,
            range: format!("{}.{direction}", self.key),
            allowed: match (min, max) {
                (Some(min), Some(max)) => format!("{min} to {max}"),
                (Some(min), None) => format!("at least {min}"),
                (None, max) => format!("at most {}", max.unwrap_or(most)),
            },
        };
        if !self.clamps {
            return Err(error);
        }
        let rate = rate_bits_per_sec.clamp(least, most);
        cni::note(format_args!("bandwidth: {error}; the pod gets {rate}"));
        Ok(rate)
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
    use serde_json::json;

    use super::*;
    use Direction::{Egress, Ingress};

    fn range(config: Value, namespace: Option<&str>) -> Result<LimitRange> {
        cni::decode::<LimitRangeKeys>(&config).unwrap().for_namespace(namespace)
    }

    fn config() -> Value {
        json!({
            "ingress": {"default": "10M", "min": "1M", "max": "1G"},
            "egress": {"max": 5_000_000},
            "namespaces": {
                "free": {},
                "small": {"Ingress": {"max": "2M"}, "outOfRange": "clamp"},
            },
        })
    }

    #[test]
    fn a_rate_inside_passes_and_one_outside_is_refused_with_the_range() {
        let range = range(config(), Some("shop")).unwrap();
        for inside in [1_000_000, 10_000_000, 1_000_000_000] {
            assert_eq!(range.admit(Ingress, inside, "it").unwrap(), inside);
        }
        for outside in [999_999, 1_000_000_001] {
            let error = range.admit(Ingress, outside, "annotation x: 7").unwrap_err().to_string();
            let parts =
                ["annotation x: 7", &outside.to_string(), "limitRange.ingress", "1000000 to 1000000000"];
            for part in parts {
                assert!(error.contains(part), "{part}: {error}");
            }
        }
    }

    #[test]
    fn a_namespaces_entry_stands_for_the_general_one() {
        let small = range(config(), Some("small")).unwrap();
        assert_eq!(small.admit(Ingress, 5_000_000, "it").unwrap(), 2_000_000);
        assert_eq!(small.default_rate(Egress), None);
        let free = range(config(), Some("free")).unwrap();
        assert_eq!((free.default_rate(Ingress), free.default_rate(Egress)), (None, None));
        assert_eq!(free.admit(Ingress, 1_000, "it").unwrap(), 1_000);
    }

    #[test]
    fn who_asks_for_nothing_gets_the_default_or_else_the_most() {
        let general = range(config(), None).unwrap();
        assert_eq!(general.default_rate(Ingress), Some(10_000_000));
        assert_eq!(general.default_rate(Egress), Some(5_000_000));
        let only_min = range(json!({"ingress": {"min": "1M"}}), None).unwrap();
        assert_eq!(only_min.default_rate(Ingress), None);
    }

    #[test]
    fn a_key_that_there_is_not_is_refused_with_those_that_there_are() {
        for (config, key, allowed) in [
            (json!({"ingres": {}}), "ingres", "ingress, egress, outOfRange, namespaces"),
            (json!({"egress": {"maxx": "1M"}}), "egress.maxx", "default, min, max"),
            (json!({"namespaces": {"a": {"outofrang": "clamp"}}}), "namespaces.a.outofrang", "outOfRange"),
        ] {
            let error = cni::decode::<LimitRangeKeys>(&config).err().unwrap();
            assert_eq!(error.key(), key);
            assert!(error.to_string().contains(allowed), "{error}");
        }
    }

    #[test]
    fn an_entry_for_a_name_that_no_namespace_can_have_is_refused() {
        let long = "a".repeat(64);
        for name in ["Shop", "shop/web", "shop.web", "-a", "a-", "", "*", "a b", "caf\u{e9}", &long] {
            let error = range(json!({"namespaces": {name: {}}}), None).unwrap_err().to_string();
            assert!(
                error.contains("limitRange.namespaces") && error.contains(&format!("{name:?}")),
                "{error}"
            );
        }
        for name in ["shop", "kube-system", "0", &long[1..]] {
            range(json!({"namespaces": {name: {}}}), None).unwrap();
        }
    }

    #[test]
    fn a_range_that_makes_no_sense_is_named() {
        for (config, key) in [
            (json!({"ingress": {"default": "2G", "max": "1G"}}), "limitRange.ingress.default"),
            (json!({"egress": {"default": "1M", "min": "2M"}}), "limitRange.egress.min"),
            (json!({"egress": {"min": "2M", "max": "1M"}}), "limitRange.egress.min"),
            (json!({"ingress": {"max": "10MB"}}), "limitRange.ingress.max"),
            (json!({"ingress": {"max": 10}}), "limitRange.ingress.max"),
            (json!({"namespaces": {"a": {"outOfRange": "x"}}}), "limitRange.namespaces.a.outOfRange"),
            (json!({"namespaces": {"a": {"ingress": {"min": ""}}}}), "limitRange.namespaces.a.ingress.min"),
        ] {
            let error = range(config, None).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
