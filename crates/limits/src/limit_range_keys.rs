//! `limitRange`: limit ranges by namespace, as they stand in the plugin's config.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::limit_range::{LimitRange, Range};
use crate::quantity::rate;

const KEY: &str = "limitRange";

/// The key's value. An unknown key in it is refused: a policy must not vanish by a typo.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct LimitRangeKeys {
    ingress: RangeKeys,
    egress: RangeKeys,
    out_of_range: Option<String>,
    namespaces: HashMap<String, NamespaceKeys>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct NamespaceKeys {
    ingress: RangeKeys,
    egress: RangeKeys,
    out_of_range: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RangeKeys {
    default: Option<Value>,
    min: Option<Value>,
    max: Option<Value>,
}

impl LimitRangeKeys {
    /// Returns the range for a pod of `namespace`: the entry under `namespaces`, which replaces the general one as a
    /// whole, or else the general one. Every entry is checked, also those of other namespaces.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for an invalid rate, a `default` outside of `min` to `max`, an unknown `outOfRange`, and an
    /// invalid name of a namespace.
    pub fn for_namespace(self, namespace: Option<&str>) -> Result<LimitRange> {
        let mut chosen = read(KEY.to_owned(), &self.ingress, &self.egress, self.out_of_range.as_deref())?;
        for (name, keys) in &self.namespaces {
            if !is_namespace(name) {
                return Err(Error::invalid(
                    format!("{KEY}.namespaces"),
                    format!("{name:?}"),
                    "the name of a Kubernetes namespace: at most 63 of a-z, 0-9 and -, not - at either end",
                ));
            }
            let key = format!("{KEY}.namespaces.{name}");
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
            let allowed = "\"refuse\" (the default) or \"clamp\"";
            return Err(Error::invalid(format!("{key}.outOfRange"), format!("{other:?}"), allowed));
        }
    };
    let ingress = ingress.read(&format!("{key}.ingress"))?;
    let egress = egress.read(&format!("{key}.egress"))?;
    Ok(LimitRange { key, ingress, egress, clamps })
}

impl RangeKeys {
    fn read(&self, key: &str) -> Result<Range> {
        let read = |name: &str, value: &Option<Value>| {
            value.as_ref().map(|value| read_rate(format!("{key}.{name}"), value)).transpose()
        };
        let range = Range {
            default: read("default", &self.default)?,
            min: read("min", &self.min)?,
            max: read("max", &self.max)?,
        };
        let ordered = |name: &str, value: Option<u64>, bound: &str, most: Option<u64>| match (value, most) {
            (Some(value), Some(most)) if value > most => Err(Error::invalid(
                format!("{key}.{name}"),
                value.to_string(),
                format!("at most {bound}, which is {most}"),
            )),
            _ => Ok(()),
        };
        ordered("default", range.default, "max", range.max)?;
        ordered("min", range.min, "default", range.default)?;
        ordered("min", range.min, "max", range.max)?;
        Ok(range)
    }
}

/// Reads a rate: a quantity (`"10M"`) or a number of bits per second.
fn read_rate(key: String, value: &Value) -> Result<u64> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    rate(&text).map_err(|expected| Error::invalid(key, value.to_string(), expected.0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn range(config: Value) -> Result<LimitRange> {
        cni::decode::<LimitRangeKeys>(&config).unwrap().for_namespace(None)
    }

    #[test]
    fn an_unknown_key_is_refused_with_those_that_are_known() {
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
    fn an_entry_for_an_invalid_namespace_is_refused() {
        let long = "a".repeat(64);
        for name in ["Shop", "shop/web", "shop.web", "-a", "a-", "", "*", "a b", "caf\u{e9}", &long] {
            let error = range(json!({"namespaces": {name: {}}})).unwrap_err().to_string();
            assert!(
                error.contains("limitRange.namespaces") && error.contains(&format!("{name:?}")),
                "{error}"
            );
        }
        for name in ["shop", "kube-system", "0", &long[1..]] {
            range(json!({"namespaces": {name: {}}})).unwrap();
        }
    }

    #[test]
    fn an_invalid_range_is_refused_with_its_key() {
        for (config, key) in [
            (json!({"ingress": {"default": "2G", "max": "1G"}}), "limitRange.ingress.default"),
            (json!({"egress": {"default": "1M", "min": "2M"}}), "limitRange.egress.min"),
            (json!({"egress": {"min": "2M", "max": "1M"}}), "limitRange.egress.min"),
            (json!({"ingress": {"max": "10MB"}}), "limitRange.ingress.max"),
            (json!({"ingress": {"max": 10}}), "limitRange.ingress.max"),
            (json!({"namespaces": {"a": {"outOfRange": "x"}}}), "limitRange.namespaces.a.outOfRange"),
            (json!({"namespaces": {"a": {"ingress": {"min": ""}}}}), "limitRange.namespaces.a.ingress.min"),
        ] {
            let error = range(config).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
