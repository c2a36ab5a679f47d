//! The pod's annotations, as the runtime passes them (capability `io.kubernetes.cri.pod-annotations`) or the API server
//! shows them.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use crate::burst::{Burst, burst_bits};
use crate::direction::Direction;
use crate::error::{Error, Result};
use crate::quantity::rate;

/// Opts a pod out of the namespace's limit range, when its value is [`DISABLE`].
const LIMITED: &str = "customlimitrange.kubernetes.io/limited";
const DISABLE: &str = "disable";

/// All annotations of a pod.
#[derive(Debug, Default, Deserialize)]
#[serde(default, transparent)]
pub struct Annotations(HashMap<String, Value>);

/// A rate that a pod asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The annotation with its value, or the runtime's key; for messages.
    pub by: String,
    /// The rate.
    pub rate_bits_per_sec: u64,
}

impl Annotations {
    /// Returns the rate of one direction: that of `kubernetes.io/ingress-bandwidth` or `…/egress-bandwidth`, or kube-ovn's,
    /// in Mbit/s, where that is absent.
    ///
    /// # Errors
    /// [`Error::InvalidValue`].
    pub fn rate(&self, direction: Direction) -> Result<Option<Asked>> {
        let kubernetes = format!("kubernetes.io/{direction}-bandwidth");
        let kube_ovn = format!("ovn.kubernetes.io/{direction}_rate");
        let asked = |key: &str, value: &str, rate_bits_per_sec| {
            Some(Asked { by: format!("annotation {key}: {value}"), rate_bits_per_sec })
        };
        if let Some(value) = self.get(&kubernetes)? {
            let rate = rate(value).map_err(|expected| invalid(&kubernetes, value, expected.0))?;
            return Ok(asked(&kubernetes, value, rate));
        }
        let Some(value) = self.kube_ovn(&kube_ovn)? else { return Ok(None) };
        let rate = mega(value).and_then(|value| rate(&value).ok()).ok_or_else(|| {
            invalid(&kube_ovn, value, "a number of Mbit/s, such as 3, between 1k and 1P bits per second")
        })?;
        Ok(asked(&kube_ovn, value, rate))
    }

    /// Returns the burst of one direction: that of `weir/ingress-burst` or `weir/egress-burst`, a quantity of bits as in
    /// the config, or kube-ovn's, in Mbit, where that is absent.
    ///
    /// # Errors
    /// [`Error::InvalidValue`].
    pub fn burst(&self, direction: Direction) -> Result<Burst> {
        let own = own_burst(direction);
        if let Some(value) = self.get(&own)? {
            let bits = burst_bits(value).map_err(|expected| invalid(&own, value, expected.0))?;
            return Ok(Burst::Chosen { bits });
        }
        let kube_ovn = format!("ovn.kubernetes.io/{direction}_burst");
        let Some(value) = self.kube_ovn(&kube_ovn)? else { return Ok(Burst::NotChosen) };
        let bits = mega(value).and_then(|value| burst_bits(&value).ok());
        bits.map(|bits| Burst::Chosen { bits })
            .ok_or_else(|| invalid(&kube_ovn, value, "a number of Mbit, such as 3, between 1k and 32G bits"))
    }

    /// Returns the key of weir's annotation for the burst, where the pod has it.
    pub(crate) fn own_burst_key(&self, direction: Direction) -> Option<String> {
        Some(own_burst(direction)).filter(|key| self.0.get(key).is_some_and(|value| !value.is_null()))
    }

    /// Whether the pod says that the namespace's limit range is not for it.
    pub fn opts_out_of_limit_range(&self) -> bool {
        self.0.get(LIMITED).and_then(Value::as_str) == Some(DISABLE)
    }

    fn get(&self, key: &str) -> Result<Option<&str>> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(value)) => Ok(Some(value)),
            Some(other) => Err(Error::invalid(format!("annotation {key}"), other.to_string(), "a string")),
        }
    }

    /// As [`Annotations::get`]; empty and 0 are kube-ovn's way to say "no limit" and "no burst chosen".
    fn kube_ovn(&self, key: &str) -> Result<Option<&str>> {
        Ok(self.get(key)?.filter(|value| !matches!(*value, "" | "0")))
    }
}

fn own_burst(direction: Direction) -> String {
    format!("weir/{direction}-burst")
}

fn invalid(key: &str, value: &str, allowed: &str) -> Error {
    Error::invalid(format!("annotation {key}"), format!("{value:?}"), allowed)
}

/// Returns a plain number of megabits as a quantity; none for any other text.
fn mega(number: &str) -> Option<String> {
    number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.').then(|| format!("{number}M"))
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
            ("kubernetes.io/ingress-bandwidth", json!(10), "not a string"),
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
        assert_eq!(burst("1M").unwrap(), Burst::Chosen { bits: 1_000_000 });
        // A runtime that sends this number means none; in an annotation it was chosen.
        assert_eq!(burst("4294967295").unwrap(), Burst::Chosen { bits: 4_294_967_295 });
        for value in ["999", "33G", "-1M", "x"] {
            assert!(burst(value).unwrap_err().to_string().contains("weir/egress-burst"));
        }
    }

    #[test]
    fn kube_ovns_burst_is_a_number_of_megabits() {
        let burst =
            |value| annotations(json!({"ovn.kubernetes.io/egress_burst": value})).burst(Direction::Egress);
        assert_eq!(burst("10").unwrap(), Burst::Chosen { bits: 10_000_000 });
        assert_eq!(burst("0.5").unwrap(), Burst::Chosen { bits: 500_000 });
        for unchosen in ["", "0"] {
            assert_eq!(burst(unchosen).unwrap(), Burst::NotChosen);
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
