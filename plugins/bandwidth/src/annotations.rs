//! What a pod's annotations say, straight from the runtime (capability `io.kubernetes.cri.pod-annotations`).

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use crate::burst::Burst;
use crate::direction::Direction;
use crate::error::{Error, Result};
use crate::quantity::{quantity, rate};

/// Opts a pod out of the namespace's limit range, when its value is [`DISABLE`].
const LIMITED: &str = "customlimitrange.kubernetes.io/limited";
const DISABLE: &str = "disable";

/// A burst may have 1k to 32G bits: less than a packet is raised to one, and the kernel holds 4 GiB.
const BURST_BITS: std::ops::RangeInclusive<i128> = 1_000..=32_000_000_000;

/// All annotations of a pod.
#[derive(Default, Deserialize)]
#[serde(default, transparent)]
pub(crate) struct Annotations(HashMap<String, Value>);

/// A rate that an annotation asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The annotation's key and value, as `KEY: VALUE`.
    pub by: String,
    pub rate_bits_per_sec: u64,
}

impl Annotations {
    /// The rate of one direction: Kubernetes' annotation, or kube-ovn's where that is absent.
    ///
    /// # Errors
    /// [`Error::Annotation`] for a value that is no rate.
    pub fn rate(&self, direction: Direction) -> Result<Option<Asked>> {
        let kubernetes = format!("kubernetes.io/{direction}-bandwidth");
        if let Some(value) = self.get(&kubernetes)? {
            let rate = rate(value).map_err(|error| bad(&kubernetes, value, error))?;
            return Ok(Some(asked(&kubernetes, value, rate)));
        }
        let kube_ovn = format!("ovn.kubernetes.io/{direction}_rate");
        match self.get(&kube_ovn)? {
            // kube-ovn's way to say "no limit".
            None | Some("" | "0") => Ok(None),
            Some(value) => {
                let rate = megabits(value).map_err(|problem| bad(&kube_ovn, value, problem))?;
                Ok(Some(asked(&kube_ovn, value, rate)))
            }
        }
    }

    /// The burst of one direction: `weir/ingress-burst` or `weir/egress-burst`, a quantity of bits as in the config,
    /// or kube-ovn's, in Mbit, where that is absent.
    ///
    /// # Errors
    /// [`Error::Annotation`] for a value that is no burst.
    pub fn burst(&self, direction: Direction) -> Result<Option<Burst>> {
        let own = burst_key(direction);
        if let Some(value) = self.get(&own)? {
            return burst(&own, value, value).map(Some);
        }
        let kube_ovn = format!("ovn.kubernetes.io/{direction}_burst");
        match self.get(&kube_ovn)? {
            // kube-ovn's own choice; and its way to say "as little as possible", which ours is.
            None | Some("" | "0") => Ok(None),
            Some(value) if !is_plain_number(value) => {
                Err(bad(&kube_ovn, value, "want a number of Mbit, such as 3"))
            }
            Some(value) => burst(&kube_ovn, value, &format!("{value}M")).map(Some),
        }
    }

    /// Whether `weir/ingress-burst` or `weir/egress-burst` is there.
    pub fn has_own_burst(&self, direction: Direction) -> bool {
        self.0.get(&burst_key(direction)).is_some_and(|value| !value.is_null())
    }

    /// Whether the pod says that the namespace's limit range is not for it.
    pub fn opts_out_of_limit_range(&self) -> bool {
        self.0.get(LIMITED).and_then(Value::as_str) == Some(DISABLE)
    }

    fn get(&self, key: &str) -> Result<Option<&str>> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(value)) => Ok(Some(value)),
            Some(other) => Err(bad(key, &other.to_string(), "want a text")),
        }
    }
}

/// The annotation that sets a burst.
pub(crate) fn burst_key(direction: Direction) -> String {
    format!("weir/{direction}-burst")
}

/// Reads `bits`, a quantity; `key` and `value` are for the error.
fn burst(key: &str, value: &str, bits: &str) -> Result<Burst> {
    let bits = quantity(bits).map_err(|error| bad(key, value, error))?;
    match u64::try_from(bits) {
        Ok(bits) if BURST_BITS.contains(&bits.into()) => Ok(Burst::Chosen { bits }),
        _ => Err(bad(key, value, "a burst is between 1k and 32G bits")),
    }
}

fn asked(key: &str, value: &str, rate_bits_per_sec: u64) -> Asked {
    Asked { by: format!("annotation {key}: {value}"), rate_bits_per_sec }
}

fn bad(key: &str, value: &str, problem: impl ToString) -> Error {
    Error::Annotation { key: key.to_owned(), value: value.to_owned(), problem: problem.to_string() }
}

/// A plain number of Mbit/s, such as `3` or `0.5`, in bits per second.
fn megabits(value: &str) -> std::result::Result<u64, String> {
    if !is_plain_number(value) {
        return Err("want a number of Mbit/s, such as 3".to_owned());
    }
    rate(&format!("{value}M")).map_err(|error| format!("in Mbit/s: {error}"))
}

fn is_plain_number(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn annotations(value: Value) -> Annotations {
        cni::decode(&value).unwrap()
    }

    fn rate_of(value: Value) -> Option<u64> {
        annotations(value).rate(Direction::Ingress).unwrap().map(|asked| asked.rate_bits_per_sec)
    }

    #[test]
    fn the_usual_annotations_are_read() {
        for (text, rate) in [
            ("10M", 10_000_000),
            ("1Gi", 1 << 30),
            ("1e6", 1_000_000),
            ("1500k", 1_500_000),
            ("0.5G", 500_000_000),
            ("+1k", 1_000),
            ("1P", 1_000_000_000_000_000),
            ("999.1", 1_000),
        ] {
            assert_eq!(rate_of(json!({"kubernetes.io/ingress-bandwidth": text})), Some(rate), "{text}");
        }
        assert_eq!(rate_of(json!({"kubernetes.io/egress-bandwidth": "10M"})), None);
        assert_eq!(rate_of(json!(null)), None);
        assert_eq!(rate_of(json!({"kubernetes.io/ingress-bandwidth": null})), None);
    }

    #[test]
    fn kube_ovns_megabits_count_where_kubernetes_annotation_is_absent() {
        assert_eq!(rate_of(json!({"ovn.kubernetes.io/ingress_rate": "3"})), Some(3_000_000));
        assert_eq!(rate_of(json!({"ovn.kubernetes.io/ingress_rate": "0.5"})), Some(500_000));
        for unlimited in ["", "0"] {
            assert_eq!(rate_of(json!({"ovn.kubernetes.io/ingress_rate": unlimited})), None);
        }
        let both = json!({"ovn.kubernetes.io/ingress_rate": "3", "kubernetes.io/ingress-bandwidth": "5M"});
        assert_eq!(rate_of(both), Some(5_000_000));
    }

    #[test]
    fn a_bad_value_is_named_with_its_annotation_and_what_is_allowed() {
        for (key, value, allowed) in [
            ("kubernetes.io/ingress-bandwidth", json!("999"), "between 1k and 1P"),
            ("kubernetes.io/ingress-bandwidth", json!("1.001P"), "between 1k and 1P"),
            ("kubernetes.io/ingress-bandwidth", json!("-10M"), "between 1k and 1P"),
            ("kubernetes.io/ingress-bandwidth", json!("10MB"), "suffixes"),
            ("kubernetes.io/ingress-bandwidth", json!(""), "number"),
            ("kubernetes.io/ingress-bandwidth", json!(10), "want a text"),
            ("ovn.kubernetes.io/ingress_rate", json!("3M"), "number of Mbit/s"),
            ("ovn.kubernetes.io/ingress_rate", json!("0.0001"), "between 1k and 1P"),
        ] {
            let error = annotations(json!({key: value})).rate(Direction::Ingress).unwrap_err().to_string();
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            assert!(error.contains(key) && error.contains(&value) && error.contains(allowed), "{error}");
        }
    }

    #[test]
    fn a_burst_is_a_quantity_of_bits() {
        let burst = |value| annotations(json!({"weir/egress-burst": value})).burst(Direction::Egress);
        assert_eq!(burst("1M").unwrap(), Some(Burst::Chosen { bits: 1_000_000 }));
        // Somebody wrote it down, so it is no runtime's way to say that nobody did.
        assert_eq!(burst("4294967295").unwrap(), Some(Burst::Chosen { bits: 4_294_967_295 }));
        for value in ["999", "33G", "-1M", "x"] {
            assert!(burst(value).unwrap_err().to_string().contains("weir/egress-burst"));
        }
    }

    #[test]
    fn kube_ovns_burst_is_a_number_of_megabits() {
        let burst =
            |value| annotations(json!({"ovn.kubernetes.io/egress_burst": value})).burst(Direction::Egress);
        assert_eq!(burst("10").unwrap(), Some(Burst::Chosen { bits: 10_000_000 }));
        assert_eq!(burst("0.5").unwrap(), Some(Burst::Chosen { bits: 500_000 }));
        for unchosen in ["", "0"] {
            assert_eq!(burst(unchosen).unwrap(), None);
        }
        for value in ["10M", "-1", "33000", "0.0001", "."] {
            let error = burst(value).unwrap_err().to_string();
            assert!(error.contains("ovn.kubernetes.io/egress_burst") && error.contains(value), "{error}");
        }
    }

    #[test]
    fn only_the_word_disable_opts_out() {
        for (value, expected) in [("disable", true), ("enable", false), ("", false)] {
            let annotations = annotations(json!({"customlimitrange.kubernetes.io/limited": value}));
            assert_eq!(annotations.opts_out_of_limit_range(), expected, "{value}");
        }
    }
}
