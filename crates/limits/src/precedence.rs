//! Which limit counts: the first source that says something.
//!
//! 1. The config's own keys make everything else void, for both directions, as in the reference plugin.
//! 2. The runtime's capability `bandwidth`.
//! 3. The pod's annotations: Kubernetes' before kube-ovn's.
//! 4. The default of the limit range of the pod's namespace.
//!
//! From 2 on each direction finds its own source, and the range's bounds hold. The burst comes from the runtime, unless it
//! sends a number that only says that none was chosen; then from the pod's annotations: weir's before kube-ovn's. Without
//! them that number counts where the config has `"runtimeBurst": "literal"`.

use crate::annotations::{Annotations, Asked};
use crate::burst::{Burst, RuntimeBurst};
use crate::direction::Direction;
use crate::error::{Error, Result};
use crate::limit::{Limit, LimitKeys};
use crate::limit_range::{Admitted, LimitRange};

/// The runtime's keys in messages.
const RUNTIME: &str = "runtimeConfig.bandwidth.";

/// Everything that may set a pod's limits.
#[derive(Debug, Default)]
pub struct Sources {
    /// The config's own keys.
    pub fixed: LimitKeys,
    /// The runtime's capability `bandwidth`.
    pub runtime: LimitKeys,
    /// The pod's annotations.
    pub annotations: Annotations,
    /// The limit range of the pod's namespace.
    pub range: LimitRange,
    /// The meaning of the numbers by which a runtime says that no burst was chosen.
    pub runtime_burst: RuntimeBurst,
}

/// The decision on one direction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// The limit, or none.
    pub limit: Option<Limit>,
    /// A sentence for the log or the API where the pod asked for another rate.
    pub warning: Option<String>,
}

impl Sources {
    /// Decides on the limit of one direction.
    ///
    /// # Errors
    /// A value that cannot be read, a rate without a burst or the other way round, and a rate that the limit range
    /// refuses.
    pub fn limit(&self, direction: Direction) -> Result<Decision> {
        if self.fixed.any() {
            let limit = self.fixed.of("", direction)?.map(|(rate_bits_per_sec, bits)| Limit {
                rate_bits_per_sec,
                burst: Burst::from_bits(bits, self.runtime_burst),
            });
            return Ok(Decision { limit, warning: None });
        }
        let said = self.runtime.of(RUNTIME, direction)?;
        let annotated = self.annotations.burst(direction)?;
        let Some(Admitted { rate_bits_per_sec, warning }) =
            self.rate(direction, said.map(|(rate, _)| rate))?
        else {
            // kube-ovn looks at a burst only where there is a rate.
            return match self.annotations.own_burst_key(direction) {
                Some(annotation) => Err(Error::BurstWithoutRate { annotation, direction }),
                None => Ok(Decision::default()),
            };
        };
        let of_runtime = |key| said.map_or(Burst::NotChosen, |(_, bits)| Burst::from_bits(bits, key));
        let burst = of_runtime(RuntimeBurst::Replace).or(annotated).or(of_runtime(self.runtime_burst));
        Ok(Decision { limit: Some(Limit { rate_bits_per_sec, burst }), warning })
    }

    /// Returns the rate that a pod gets, where the runtime says `said`.
    fn rate(&self, direction: Direction, said: Option<u64>) -> Result<Option<Admitted>> {
        let asked = match said {
            Some(rate_bits_per_sec) => {
                Some(Asked { rate_bits_per_sec, by: format!("{RUNTIME}{direction}Rate") })
            }
            None => self.annotations.rate(direction)?,
        };
        let opts_out = self.annotations.opts_out_of_limit_range();
        match asked {
            Some(asked) if !opts_out => self.range.admit(direction, &asked).map(Some),
            Some(Asked { rate_bits_per_sec, .. }) => Ok(Some(Admitted::unchanged(rate_bits_per_sec))),
            None if opts_out => Ok(None),
            None => Ok(self.range.default_rate(direction).map(Admitted::unchanged)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use Direction::{Egress, Ingress};

    /// The decisions on what a pod receives and on what it sends, by a config as the runtime completes it.
    fn decide(config: &Value) -> Result<[Decision; 2]> {
        let range: crate::LimitRangeKeys = cni::decode(&config["limitRange"]).unwrap();
        let runtime = &config["runtimeConfig"];
        let sources = Sources {
            fixed: cni::decode(config).unwrap(),
            runtime: cni::decode(&runtime["bandwidth"]).unwrap(),
            annotations: cni::decode(&runtime["io.kubernetes.cri.pod-annotations"]).unwrap(),
            range: range.for_namespace(Some("shop"))?,
            runtime_burst: RuntimeBurst::from_key(config["runtimeBurst"].as_str())?,
        };
        Ok([sources.limit(Ingress)?, sources.limit(Egress)?])
    }

    fn read(config: Value) -> Result<[Option<Limit>; 2]> {
        Ok(decide(&config)?.map(|decision| decision.limit))
    }

    fn annotated(annotations: Value, runtime: Value) -> Result<[Option<Limit>; 2]> {
        read(json!({
            "limitRange": { "ingress": { "min": "1M", "max": "100M" } },
            "runtimeConfig": { "bandwidth": runtime, "io.kubernetes.cri.pod-annotations": annotations },
        }))
    }

    fn chosen(rate_bits_per_sec: u64, bits: u64) -> Option<Limit> {
        Some(Limit { rate_bits_per_sec, burst: Burst::Chosen { bits } })
    }

    fn unchosen(rate_bits_per_sec: u64) -> Option<Limit> {
        Some(Limit { rate_bits_per_sec, burst: Burst::NotChosen })
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
                        config[key] = json!(null);
                    }
                }
                "runtime" => config["runtimeConfig"]["bandwidth"] = json!(null),
                "annotations" => {
                    config["runtimeConfig"]["io.kubernetes.cri.pod-annotations"] = json!(null);
                }
                "range" => config["limitRange"] = json!(null),
                other => panic!("{other}"),
            }
        }
        config
    }

    #[test]
    fn a_static_key_makes_the_annotation_void() {
        let runtime =
            json!({ "ingressRate": 1000, "ingressBurst": 2000, "egressRate": 1000, "egressBurst": 1 });
        let config = json!({
            "egressRate": 5000, "egressBurst": 6000, "runtimeConfig": { "bandwidth": runtime },
        });
        assert_eq!(read(config).unwrap(), [None, chosen(5000, 6000)]);
        let off = json!({ "ingressRate": 0, "runtimeConfig": { "bandwidth": runtime } });
        assert_eq!(read(off).unwrap(), [None, None]);
    }

    #[test]
    fn a_rate_has_the_bounds_of_the_annotation_wherever_it_comes_from() {
        let keys = |rate: u64| json!({ "ingressRate": rate, "ingressBurst": 8_000 });
        for rate in [1, 7, 999, 1_000_000_000_000_001, 1 << 63, u64::MAX] {
            let runtime = json!({ "runtimeConfig": { "bandwidth": keys(rate) } });
            for (config, key) in
                [(keys(rate), "ingressRate: "), (runtime, "runtimeConfig.bandwidth.ingressRate: ")]
            {
                let error = read(config).unwrap_err().to_string();
                assert!(error.starts_with(&format!("{key}{rate} is not")), "{error}");
                assert!(error.contains("between 1k and 1P bits per second"), "{error}");
            }
        }
        for rate in [1_000, 1_000_000_000_000_000] {
            assert_eq!(read(keys(rate)).unwrap()[0], chosen(rate, 8_000));
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

    #[test]
    fn the_first_source_that_says_something_wins() {
        let twice = |limit| [limit, limit];
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
        assert_eq!(read(config).unwrap(), [unchosen(3_000_000), chosen(2_000_000, 22_000)]);
    }

    #[test]
    fn an_annotations_burst_counts_where_the_runtime_sends_none_that_was_chosen() {
        let annotations = json!({ "kubernetes.io/ingress-bandwidth": "10M", "weir/ingress-burst": "200k" });
        let expected = chosen(10_000_000, 200_000);
        assert_eq!(annotated(annotations.clone(), json!(null)).unwrap()[0], expected);
        let containerd = json!({ "IngressRate": 10_000_000, "IngressBurst": 4_294_967_295_u64 });
        assert_eq!(annotated(annotations.clone(), containerd).unwrap()[0], expected);
        let other = json!({ "IngressRate": 10_000_000, "IngressBurst": 5_000 });
        assert_eq!(annotated(annotations, other).unwrap()[0], chosen(10_000_000, 5_000));
        let error = annotated(json!({ "weir/egress-burst": "200k" }), json!(null)).unwrap_err().to_string();
        assert!(error.contains("weir/egress-burst") && error.contains("egress-bandwidth"), "{error}");
    }

    #[test]
    fn kube_ovns_burst_counts_where_there_is_a_rate_and_no_burst_of_weirs() {
        let ovn = json!({ "ovn.kubernetes.io/ingress_rate": "10", "ovn.kubernetes.io/ingress_burst": "0.5" });
        assert_eq!(annotated(ovn.clone(), json!(null)).unwrap()[0], chosen(10_000_000, 500_000));
        let mut both = ovn.clone();
        both["weir/ingress-burst"] = json!("200k");
        assert_eq!(annotated(both, json!(null)).unwrap()[0], chosen(10_000_000, 200_000));
        let containerd = json!({ "IngressRate": 20_000_000, "IngressBurst": 4_294_967_295_u64 });
        assert_eq!(annotated(ovn, containerd).unwrap()[0], chosen(20_000_000, 500_000));
        let alone = json!({ "ovn.kubernetes.io/egress_burst": "5", "ovn.kubernetes.io/egress_rate": "0" });
        assert_eq!(annotated(alone, json!(null)).unwrap()[1], None);
    }

    #[test]
    fn a_range_holds_for_annotations_and_for_the_runtime_unless_the_pod_opts_out() {
        let rate = |rate: &str| json!({ "kubernetes.io/ingress-bandwidth": rate });
        let error = annotated(rate("200M"), json!(null)).unwrap_err().to_string();
        assert!(error.contains("kubernetes.io/ingress-bandwidth: 200M"), "{error}");
        let runtime = json!({ "IngressRate": 200_000_000, "IngressBurst": 4_294_967_295_u64 });
        let error = annotated(json!(null), runtime.clone()).unwrap_err().to_string();
        assert!(error.contains("runtimeConfig.bandwidth.ingressRate"), "{error}");
        let off = json!({ "customlimitrange.kubernetes.io/limited": "disable" });
        assert_eq!(annotated(off.clone(), runtime).unwrap()[0], unchosen(200_000_000));
        assert_eq!(annotated(off, json!(null)).unwrap(), [None, None]);
        assert_eq!(annotated(json!({}), json!(null)).unwrap()[0], unchosen(100_000_000));
    }

    #[test]
    fn with_literal_bursts_a_runtimes_number_counts_after_an_annotation() {
        let mut config = json!({ "runtimeBurst": "literal", "runtimeConfig": { "bandwidth": {
            "IngressRate": 10_000_000, "IngressBurst": 4_294_967_295_u64,
        }}});
        assert_eq!(read(config.clone()).unwrap()[0], chosen(10_000_000, 4_294_967_295));
        let annotations = json!({ "weir/ingress-burst": "200k" });
        config["runtimeConfig"]["io.kubernetes.cri.pod-annotations"] = annotations;
        assert_eq!(read(config).unwrap()[0], chosen(10_000_000, 200_000));
    }

    #[test]
    fn an_annotation_that_cannot_be_read_is_refused_unless_a_source_before_it_counts() {
        let bad = json!({ "kubernetes.io/ingress-bandwidth": "fast", "ovn.kubernetes.io/egress_rate": "3M" });
        let error = annotated(bad.clone(), json!(null)).unwrap_err().to_string();
        assert!(
            error.starts_with("annotation kubernetes.io/ingress-bandwidth: \"fast\" is not a number"),
            "{error}"
        );
        let runtime = json!({
            "ingressRate": 2_000_000, "ingressBurst": 22_000, "egressRate": 2_000_000, "egressBurst": 22_000,
        });
        assert_eq!(annotated(bad, runtime).unwrap(), [chosen(2_000_000, 22_000); 2]);
    }

    #[test]
    fn a_clamped_rate_keeps_its_burst_and_comes_with_a_warning() {
        let [ingress, egress] = decide(&json!({
            "limitRange": { "ingress": { "max": "5M" }, "outOfRange": "clamp" },
            "runtimeConfig": { "io.kubernetes.cri.pod-annotations": {
                "kubernetes.io/ingress-bandwidth": "10M", "weir/ingress-burst": "200k",
                "kubernetes.io/egress-bandwidth": "10M",
            }},
        }))
        .unwrap();
        assert_eq!(ingress.limit, chosen(5_000_000, 200_000));
        let warning = ingress.warning.unwrap();
        assert!(warning.contains("kubernetes.io/ingress-bandwidth: 10M"), "{warning}");
        assert_eq!(egress, Decision { limit: unchosen(10_000_000), warning: None });
    }

    #[test]
    fn static_limits_need_not_be_within_the_range() {
        let config = json!({
            "ingressRate": 200_000_000, "ingressBurst": 11_000, "limitRange": { "ingress": { "max": "100M" } },
        });
        assert_eq!(read(config).unwrap()[0], chosen(200_000_000, 11_000));
    }
}
