//! The plugin's keys: rates in bits per second, bursts in bits.
//!
//! Where a limit comes from, the first that there is: the config's own keys, which make everything else void,
//! as in the reference; and then for each direction by itself what the runtime says, the pod's annotations,
//! the default of the pod's namespace.

use cni::Request;
use serde::Deserialize;

use crate::annotations::{self, Annotations};
use crate::burst::{Burst, RuntimeBurst};
use crate::choice::Choice;
use crate::direction::Direction;
use crate::error::{Error, Result};
use crate::limit_range::{LimitRange, LimitRangeKeys};
use crate::quantity::{RATES, RateError};
use crate::subnets::Subnets;

/// What a call asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Of what goes to the pod.
    pub ingress: Option<Limit>,
    /// Of what comes from the pod.
    pub egress: Option<Limit>,
    /// What becomes of a limit without a burst.
    pub choice: Choice,
    /// Which traffic the limits are about.
    pub subnets: Subnets,
}

/// The limit of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    /// 1k to 1P; what an earlier version recorded may be less.
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
    bandwidth: Keys,
    #[serde(rename = "io.kubernetes.cri.pod-annotations")]
    annotations: Annotations,
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

    /// The limit of one direction; absent and 0 are the same.
    fn limit(
        &self,
        prefix: &str,
        direction: Direction,
        runtime_burst: RuntimeBurst,
    ) -> Result<Option<Limit>> {
        let (rate, burst) = match direction {
            Direction::Ingress => (self.ingress_rate, self.ingress_burst),
            Direction::Egress => (self.egress_rate, self.egress_burst),
        };
        let key = |what| format!("{prefix}{direction}{what}");
        match (rate.unwrap_or_default(), burst.unwrap_or_default()) {
            (0, 0) => Ok(None),
            (0, burst) => Err(Error::LonelyKey { key: key("Burst"), value: burst, other: key("Rate") }),
            (rate, 0) => Err(Error::LonelyKey { key: key("Rate"), value: rate, other: key("Burst") }),
            (rate, _) if !RATES.contains(&rate) => Err(Error::InvalidRate {
                key: key("Rate"),
                value: rate.to_string(),
                problem: RateError::OutOfRange,
            }),
            (rate, burst) => {
                Ok(Some(Limit { rate_bits_per_sec: rate, burst: Burst::from_bits(burst, runtime_burst) }))
            }
        }
    }
}

impl Limits {
    /// Reads the limits of a call.
    ///
    /// # Errors
    /// A key or an annotation whose value is not allowed, a rate without a burst and the other way round, a
    /// pod that asks for what its namespace's limit range does not allow.
    pub fn of_call(request: &Request) -> Result<Self> {
        Self::from_config(request.config()?, request.environment.arguments.pod_namespace())
    }

    fn from_config(config: Config, namespace: Option<&str>) -> Result<Self> {
        let choice = Choice::from_keys(config.burst_milliseconds, config.latency_milliseconds)?;
        let runtime_burst = RuntimeBurst::from_key(config.runtime_burst.as_deref())?;
        let subnets = Subnets::from_keys(&config.shaped_subnets, &config.unshaped_subnets)?;
        let range = config.limit_range.for_namespace(namespace)?;
        let Config { ingress_rate, ingress_burst, egress_rate, egress_burst, .. } = config;
        let fixed = Keys { ingress_rate, ingress_burst, egress_rate, egress_burst };
        let RuntimeConfig { bandwidth, annotations } = config.runtime_config;
        let limit = |direction| {
            if fixed.any() {
                return fixed.limit("", direction, runtime_burst);
            }
            let said = bandwidth.limit(RUNTIME, direction, RuntimeBurst::Replace)?;
            let literal = bandwidth.limit(RUNTIME, direction, runtime_burst)?.map(|limit| limit.burst);
            let limit = of_pod(direction, said, &annotations, &range)?;
            // What an annotation chose stands, whatever the runtime's number is taken for.
            Ok(limit.map(|Limit { rate_bits_per_sec, burst }| Limit {
                rate_bits_per_sec,
                burst: literal.filter(|_| burst.is_unchosen()).unwrap_or(burst),
            }))
        };
        Ok(Self { ingress: limit(Direction::Ingress)?, egress: limit(Direction::Egress)?, choice, subnets })
    }

    /// The limit of one direction.
    pub fn of(&self, direction: Direction) -> Option<Limit> {
        match direction {
            Direction::Ingress => self.ingress,
            Direction::Egress => self.egress,
        }
    }

    /// Checks the keys that do not depend on a pod.
    ///
    /// # Errors
    /// As [`Limits::of_call`].
    pub fn check_config(request: &Request) -> Result<()> {
        Self::from_config(request.config()?, None).map(|_| ())
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.ingress.is_none() && self.egress.is_none()
    }
}

/// Before the runtime's keys, in messages.
const RUNTIME: &str = "runtimeConfig.bandwidth.";

/// The limit of a pod when the config has no keys of its own. A burst that an annotation chooses stands for
/// one that nobody chose, also beside a rate of the runtime's.
fn of_pod(
    direction: Direction,
    said: Option<Limit>,
    annotations: &Annotations,
    range: &LimitRange,
) -> Result<Option<Limit>> {
    let (rate, burst) = match said {
        Some(limit) => (Some((limit.rate_bits_per_sec, format!("{RUNTIME}{direction}Rate"))), limit.burst),
        None => {
            let asked = annotations.rate(direction)?;
            (asked.map(|asked| (asked.rate_bits_per_sec, asked.by)), Burst::NotChosen)
        }
    };
    let opts_out = annotations.opts_out_of_limit_range();
    let rate = match rate {
        Some((rate, asked_by)) if !opts_out => Some(range.admit(direction, rate, &asked_by)?),
        Some((rate, _)) => Some(rate),
        None if opts_out => None,
        None => range.default_rate(direction),
    };
    let wanted = annotations.burst(direction)?;
    match rate {
        Some(rate_bits_per_sec) => Ok(Some(Limit {
            rate_bits_per_sec,
            burst: wanted.filter(|_| burst.is_unchosen()).unwrap_or(burst),
        })),
        // kube-ovn looks at a burst only where there is a rate.
        None if annotations.has_own_burst(direction) => Err(Error::BurstWithoutRate {
            annotation: annotations::burst_key(direction),
            direction: direction.as_str(),
        }),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(config: Value) -> Result<Limits> {
        Limits::from_config(cni::decode(&config).unwrap(), Some("shop"))
    }

    fn chosen(rate_bits_per_sec: u64, bits: u64) -> Option<Limit> {
        Some(Limit { rate_bits_per_sec, burst: Burst::Chosen { bits } })
    }

    fn unchosen(rate_bits_per_sec: u64) -> Option<Limit> {
        Some(Limit { rate_bits_per_sec, burst: Burst::NotChosen })
    }

    fn both(ingress: Option<Limit>, egress: Option<Limit>) -> Limits {
        Limits { ingress, egress, ..Limits::default() }
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
    fn a_static_key_makes_the_annotation_void() {
        let runtime =
            json!({ "ingressRate": 1000, "ingressBurst": 2000, "egressRate": 1000, "egressBurst": 1 });
        let config = json!({
            "egressRate": 5000, "egressBurst": 6000, "runtimeConfig": { "bandwidth": runtime },
        });
        assert_eq!(read(config).unwrap(), both(None, chosen(5000, 6000)));
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
    fn a_rate_is_what_an_annotation_may_ask_for_wherever_it_comes_from() {
        let keys = |rate: u64| json!({ "ingressRate": rate, "ingressBurst": 8_000 });
        for rate in [1, 7, 999, 1_000_000_000_000_001, 1 << 63, u64::MAX] {
            for (config, key) in [
                (keys(rate), "config: ingressRate is"),
                (
                    json!({ "runtimeConfig": { "bandwidth": keys(rate) } }),
                    "runtimeConfig.bandwidth.ingressRate is",
                ),
            ] {
                let error = read(config).unwrap_err().to_string();
                assert!(error.contains(key) && error.contains(&rate.to_string()), "{error}");
                assert!(error.contains("between 1k and 1P bits per second"), "{error}");
            }
        }
        for rate in [1_000, 1_000_000_000_000_000] {
            assert_eq!(read(keys(rate)).unwrap().ingress, chosen(rate, 8_000));
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

    /// A config in which every source says something about both directions, less those that are named.
    fn all_sources_but(absent: &[&str]) -> Value {
        let mut config = json!({
            "ingressRate": 1_000_000, "ingressBurst": 11_000,
            "egressRate": 1_000_000, "egressBurst": 11_000,
            "runtimeConfig": {
                "bandwidth": {
                    "ingressRate": 2_000_000, "ingressBurst": 22_000,
                    "egressRate": 2_000_000, "egressBurst": 22_000,
                },
                "io.kubernetes.cri.pod-annotations": {
                    "kubernetes.io/ingress-bandwidth": "3M", "kubernetes.io/egress-bandwidth": "3M",
                },
            },
            "limitRange": { "ingress": { "default": "4M" }, "egress": { "default": "4M" } },
        });
        for name in absent {
            match *name {
                "static" => {
                    for key in ["ingressRate", "ingressBurst", "egressRate", "egressBurst"] {
                        config[key] = Value::Null;
                    }
                }
                "runtime" => config["runtimeConfig"]["bandwidth"] = Value::Null,
                "annotations" => {
                    config["runtimeConfig"]["io.kubernetes.cri.pod-annotations"] = Value::Null;
                }
                "range" => config["limitRange"] = Value::Null,
                other => panic!("{other}"),
            }
        }
        config
    }

    #[test]
    fn the_first_source_that_says_something_wins() {
        let twice = |limit| both(limit, limit);
        for (absent, expected) in [
            (&[][..], twice(chosen(1_000_000, 11_000))),
            (&["static"], twice(chosen(2_000_000, 22_000))),
            (&["static", "runtime"], twice(unchosen(3_000_000))),
            (&["static", "runtime", "annotations"], twice(unchosen(4_000_000))),
            (&["static", "runtime", "annotations", "range"], twice(None)),
        ] {
            assert_eq!(read(all_sources_but(absent)).unwrap(), expected, "without {absent:?}");
        }
    }

    #[test]
    fn each_direction_finds_its_own_source_below_the_static_keys() {
        let mut config = all_sources_but(&["static"]);
        config["runtimeConfig"]["bandwidth"]["ingressRate"] = json!(0);
        config["runtimeConfig"]["bandwidth"]["ingressBurst"] = json!(0);
        assert_eq!(read(config).unwrap(), both(unchosen(3_000_000), chosen(2_000_000, 22_000)));
    }

    fn annotated(annotations: Value, runtime: Value) -> Result<Limits> {
        read(json!({
            "limitRange": { "ingress": { "min": "1M", "max": "100M" } },
            "runtimeConfig": { "bandwidth": runtime, "io.kubernetes.cri.pod-annotations": annotations },
        }))
    }

    #[test]
    fn an_annotations_burst_stands_for_one_that_nobody_chose() {
        let annotations = json!({ "kubernetes.io/ingress-bandwidth": "10M", "weir/ingress-burst": "200k" });
        let expected = chosen(10_000_000, 200_000);
        assert_eq!(annotated(annotations.clone(), json!(null)).unwrap().ingress, expected);
        let containerd = json!({ "IngressRate": 10_000_000, "IngressBurst": 4_294_967_295_u64 });
        assert_eq!(annotated(annotations.clone(), containerd).unwrap().ingress, expected);
        let other = json!({ "IngressRate": 10_000_000, "IngressBurst": 5_000 });
        assert_eq!(annotated(annotations, other).unwrap().ingress, chosen(10_000_000, 5_000));
        let error = annotated(json!({ "weir/egress-burst": "200k" }), json!(null)).unwrap_err().to_string();
        assert!(error.contains("weir/egress-burst") && error.contains("egress-bandwidth"), "{error}");
    }

    #[test]
    fn kube_ovns_burst_counts_where_there_is_a_rate_and_no_burst_of_our_own() {
        let ovn = json!({ "ovn.kubernetes.io/ingress_rate": "10", "ovn.kubernetes.io/ingress_burst": "0.5" });
        assert_eq!(annotated(ovn.clone(), json!(null)).unwrap().ingress, chosen(10_000_000, 500_000));
        let mut both = ovn.clone();
        both["weir/ingress-burst"] = json!("200k");
        assert_eq!(annotated(both, json!(null)).unwrap().ingress, chosen(10_000_000, 200_000));
        let containerd = json!({ "IngressRate": 20_000_000, "IngressBurst": 4_294_967_295_u64 });
        assert_eq!(annotated(ovn, containerd).unwrap().ingress, chosen(20_000_000, 500_000));
        let alone = json!({ "ovn.kubernetes.io/egress_burst": "5", "ovn.kubernetes.io/egress_rate": "0" });
        assert_eq!(annotated(alone, json!(null)).unwrap().egress, None);
    }

    #[test]
    fn a_range_holds_for_annotations_and_for_the_runtime_unless_the_pod_is_let_off() {
        let rate = |rate: &str| json!({ "kubernetes.io/ingress-bandwidth": rate });
        let error = annotated(rate("200M"), json!(null)).unwrap_err().to_string();
        assert!(error.contains("kubernetes.io/ingress-bandwidth: 200M"), "{error}");
        let runtime = json!({ "IngressRate": 200_000_000, "IngressBurst": 4_294_967_295_u64 });
        let error = annotated(json!(null), runtime.clone()).unwrap_err().to_string();
        assert!(error.contains("runtimeConfig.bandwidth.ingressRate"), "{error}");
        let off = json!({ "customlimitrange.kubernetes.io/limited": "disable" });
        assert_eq!(annotated(off.clone(), runtime).unwrap().ingress, unchosen(200_000_000));
        assert!(annotated(off, json!(null)).unwrap().is_empty());
        // nobody asked: the most that may be asked for
        assert_eq!(annotated(json!({}), json!(null)).unwrap().ingress, unchosen(100_000_000));
    }

    #[test]
    fn a_runtimes_burst_is_kept_to_the_letter_when_the_config_says_so() {
        let config = json!({ "runtimeBurst": "literal", "runtimeConfig": { "bandwidth": {
            "IngressRate": 10_000_000, "IngressBurst": 4_294_967_295_u64,
        }}});
        assert_eq!(read(config).unwrap().ingress, chosen(10_000_000, 4_294_967_295));
    }
}
