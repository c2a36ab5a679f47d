//! The plugin's keys: rates in bits per second, bursts in bits.

use cni::Request;
use limits::{Annotations, Decision, Direction, Limit, LimitKeys, LimitRangeKeys, RuntimeBurst, Sources};
use serde::Deserialize;

use crate::error::Result;
use crate::subnets::Subnets;
use crate::timing::Timing;

/// The limits of a call, and how they are set up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The limit of packets to the pod.
    pub ingress: Option<Limit>,
    /// The limit of packets from the pod.
    pub egress: Option<Limit>,
    /// The bursts and queues that the limits do not set.
    pub timing: Timing,
    /// The traffic that is limited.
    pub subnets: Subnets,
}

/// The config's other keys.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    burst_milliseconds: Option<u64>,
    latency_milliseconds: Option<u64>,
    runtime_burst: Option<String>,
    limit_range: LimitRangeKeys,
    shaped_subnets: Vec<String>,
    unshaped_subnets: Vec<String>,
    runtime_config: RuntimeConfig,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RuntimeConfig {
    bandwidth: LimitKeys,
    #[serde(rename = "io.kubernetes.cri.pod-annotations")]
    annotations: Annotations,
}

impl Settings {
    /// Reads the limits of a call; STATUS has no pod.
    ///
    /// # Errors
    /// An invalid key or annotation, a rate without a burst or the other way round, and a rate that the limit range of the
    /// pod's namespace refuses.
    pub fn of_call(request: &Request) -> Result<Self> {
        let namespace = request.environment.arguments.pod_namespace();
        Self::from_config(request.config()?, request.config()?, namespace)
    }

    fn from_config(fixed: LimitKeys, config: Config, namespace: Option<&str>) -> Result<Self> {
        let timing = Timing::from_keys(config.burst_milliseconds, config.latency_milliseconds)?;
        let runtime_burst = RuntimeBurst::from_key(config.runtime_burst.as_deref())?;
        let subnets = Subnets::from_keys(&config.shaped_subnets, &config.unshaped_subnets)?;
        let range = config.limit_range.for_namespace(namespace)?;
        let RuntimeConfig { bandwidth: runtime, annotations } = config.runtime_config;
        let sources = Sources { fixed, runtime, annotations, range, runtime_burst };
        let limit = |direction| -> Result<Option<Limit>> {
            let Decision { limit, warning } = sources.limit(direction)?;
            if let Some(warning) = warning {
                cni::note(format_args!("bandwidth: {warning}"));
            }
            Ok(limit)
        };
        Ok(Self { ingress: limit(Direction::Ingress)?, egress: limit(Direction::Egress)?, timing, subnets })
    }

    /// Returns the limit of one direction.
    pub fn of(&self, direction: Direction) -> Option<Limit> {
        match direction {
            Direction::Ingress => self.ingress,
            Direction::Egress => self.egress,
        }
    }

    /// Whether neither direction is limited.
    pub fn is_empty(&self) -> bool {
        self.ingress.is_none() && self.egress.is_none()
    }
}

#[cfg(test)]
mod tests {
    use limits::Burst;
    use serde_json::{Value, json};

    use super::*;

    fn read(config: Value) -> Result<Settings> {
        Settings::from_config(cni::decode(&config).unwrap(), cni::decode(&config).unwrap(), Some("shop"))
    }

    fn chosen(rate_bits_per_sec: u64, bits: u64) -> Option<Limit> {
        Some(Limit { rate_bits_per_sec, burst: Burst::Chosen { bits } })
    }

    fn both(ingress: Option<Limit>, egress: Option<Limit>) -> Settings {
        Settings { ingress, egress, ..Settings::default() }
    }

    #[test]
    fn static_keys_are_read() {
        let limits = read(json!({
            "ingressRate": 10_000_000, "ingressBurst": 1_000_000, "egressRate": 1e7, "egressBurst": 1e6,
        }));
        assert_eq!(limits.unwrap(), both(chosen(10_000_000, 1_000_000), chosen(10_000_000, 1_000_000)));
    }

    #[test]
    fn containerds_annotation_is_read_in_its_spelling() {
        let limits = read(json!({ "runtimeConfig": { "bandwidth": {
            "IngressRate": 10_000_000, "IngressBurst": 4_294_967_295_u64, "EgressRate": 0, "EgressBurst": 0,
        }}}));
        let expected = Some(Limit { rate_bits_per_sec: 10_000_000, burst: Burst::NotChosen });
        assert_eq!(limits.unwrap(), both(expected, None));
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
}
