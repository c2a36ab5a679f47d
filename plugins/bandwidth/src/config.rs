//! The plugin's keys: rates in bits per second, bursts in bits.

use cni::Request;
use serde::Deserialize;

use crate::burst::Burst;
use crate::error::{Error, Result};

/// What the config asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Of what goes to the pod.
    pub ingress: Option<Limit>,
    /// Of what comes from the pod.
    pub egress: Option<Limit>,
}

/// The limit of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    /// At least 1.
    pub rate_bits_per_sec: u64,
    pub burst: Burst,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    ingress_rate: Option<u64>,
    ingress_burst: Option<u64>,
    egress_rate: Option<u64>,
    egress_burst: Option<u64>,
    runtime_config: RuntimeConfig,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RuntimeConfig {
    bandwidth: Option<Keys>,
}

/// The four keys, as they stand in the config itself and in the runtime's capability.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    ingress_rate: Option<u64>,
    ingress_burst: Option<u64>,
    egress_rate: Option<u64>,
    egress_burst: Option<u64>,
}

impl Keys {
    fn any(&self) -> bool {
        [self.ingress_rate, self.ingress_burst, self.egress_rate, self.egress_burst]
            .iter()
            .any(Option::is_some)
    }
}

impl Limits {
    /// Reads the limits of a call. A static key, whatever its value, makes what the runtime says void, as in
    /// the reference.
    ///
    /// # Errors
    /// A value that is no number, or a rate without a burst and the other way round.
    pub fn of(request: &Request) -> Result<Self> {
        Self::from_config(request.config()?)
    }

    fn from_config(config: Config) -> Result<Self> {
        let Config { ingress_rate, ingress_burst, egress_rate, egress_burst, runtime_config } = config;
        let fixed = Keys { ingress_rate, ingress_burst, egress_rate, egress_burst };
        let (prefix, keys) = match runtime_config.bandwidth {
            Some(runtime) if !fixed.any() => ("runtimeConfig.bandwidth.", runtime),
            _ => ("", fixed),
        };
        let limit = |direction, rate, burst| Limit::new(prefix, direction, rate, burst);
        Ok(Self {
            ingress: limit("ingress", keys.ingress_rate, keys.ingress_burst)?,
            egress: limit("egress", keys.egress_rate, keys.egress_burst)?,
        })
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Limit {
    fn new(prefix: &str, direction: &str, rate: Option<u64>, burst: Option<u64>) -> Result<Option<Self>> {
        let key = |what| format!("{prefix}{direction}{what}");
        match (rate.unwrap_or_default(), burst.unwrap_or_default()) {
            (0, 0) => Ok(None),
            (0, burst) => Err(Error::LonelyKey { key: key("Burst"), value: burst, other: key("Rate") }),
            (rate, 0) => Err(Error::LonelyKey { key: key("Rate"), value: rate, other: key("Burst") }),
            (rate, burst) => Ok(Some(Self { rate_bits_per_sec: rate, burst: Burst::from_bits(burst) })),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(config: Value) -> Result<Limits> {
        Limits::from_config(cni::decode(&config).unwrap())
    }

    fn chosen(rate_bits_per_sec: u64, bits: u64) -> Option<Limit> {
        Some(Limit { rate_bits_per_sec, burst: Burst::Chosen { bits } })
    }

    #[test]
    fn static_keys_are_read() {
        let limits = read(json!({
            "ingressRate": 10_000_000, "ingressBurst": 1_000_000, "egressRate": 1e7, "egressBurst": 1e6,
        }));
        assert_eq!(
            limits.unwrap(),
            Limits { ingress: chosen(10_000_000, 1_000_000), egress: chosen(10_000_000, 1_000_000) }
        );
    }

    #[test]
    fn containerds_annotation_is_read_in_its_spelling() {
        let limits = read(json!({ "runtimeConfig": { "bandwidth": {
            "IngressRate": 10_000_000, "IngressBurst": 4_294_967_295_u64, "EgressRate": 0, "EgressBurst": 0,
        }}}));
        let expected = Some(Limit { rate_bits_per_sec: 10_000_000, burst: Burst::NotChosen });
        assert_eq!(limits.unwrap(), Limits { ingress: expected, egress: None });
    }

    #[test]
    fn a_static_key_makes_the_annotation_void() {
        let runtime =
            json!({ "ingressRate": 1000, "ingressBurst": 2000, "egressRate": 1000, "egressBurst": 1 });
        let config = json!({
            "egressRate": 5000, "egressBurst": 6000, "runtimeConfig": { "bandwidth": runtime },
        });
        assert_eq!(read(config).unwrap(), Limits { ingress: None, egress: chosen(5000, 6000) });
        let off = json!({ "ingressRate": 0, "runtimeConfig": { "bandwidth": runtime } });
        assert!(read(off).unwrap().is_empty());
    }

    #[test]
    fn nothing_and_null_and_zero_ask_for_nothing() {
        for config in [
            json!({}),
            json!({ "runtimeConfig": null }),
            json!({ "runtimeConfig": { "bandwidth": null } }),
            json!({ "ingressRate": null, "runtimeConfig": { "bandwidth": {} } }),
            json!({ "ingressRate": 0, "ingressBurst": 0, "egressRate": 0, "egressBurst": 0 }),
        ] {
            assert!(read(config.clone()).unwrap().is_empty(), "{config}");
        }
    }

    #[test]
    fn a_rate_without_a_burst_is_named_with_its_value() {
        for (config, key) in [
            (json!({ "ingressRate": 4711 }), "ingressRate is 4711 but ingressBurst"),
            (json!({ "egressBurst": 4711 }), "egressBurst is 4711 but egressRate"),
            (
                json!({ "runtimeConfig": { "bandwidth": { "EgressRate": 4711, "EgressBurst": 0 } } }),
                "runtimeConfig.bandwidth.egressRate is 4711 but runtimeConfig.bandwidth.egressBurst",
            ),
        ] {
            let error = read(config).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
