//! Capabilities from pod annotations, as containerd makes them (`internal/cri/server/sandbox_run.go`).

use serde_json::{Map, Value, json};

use crate::error::Error;

const INGRESS: &str = "kubernetes.io/ingress-bandwidth";
const EGRESS: &str = "kubernetes.io/egress-bandwidth";
/// containerd's burst in bits when none was chosen (`math.MaxUint32`).
const UNCHOSEN_BURST: u64 = u32::MAX as u64;

/// Parses `KEY=VALUE` pairs.
pub(crate) fn parse(pairs: &[String]) -> Result<Map<String, Value>, Error> {
    pairs
        .iter()
        .map(|pair| match pair.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), json!(value))),
            None => Err(Error::pair("--annotation", pair)),
        })
        .collect()
}

/// Returns the capabilities that containerd offers for a pod with these annotations. The keys of `bandwidth` are
/// capitalised, as go-cni's are.
pub(crate) fn capabilities(annotations: &Map<String, Value>) -> Result<Map<String, Value>, Error> {
    let mut capabilities = Map::new();
    capabilities.insert("io.kubernetes.cri.pod-annotations".to_owned(), json!(annotations));
    let (ingress, egress) = (rate(annotations, INGRESS)?, rate(annotations, EGRESS)?);
    if ingress.is_some() || egress.is_some() {
        let burst = |rate: Option<u64>| rate.map_or(0, |_| UNCHOSEN_BURST);
        capabilities.insert(
            "bandwidth".to_owned(),
            json!({
                "IngressRate": ingress.unwrap_or(0),
                "IngressBurst": burst(ingress),
                "EgressRate": egress.unwrap_or(0),
                "EgressBurst": burst(egress),
            }),
        );
    }
    Ok(capabilities)
}

fn rate(annotations: &Map<String, Value>, key: &str) -> Result<Option<u64>, Error> {
    let Some(value) = annotations.get(key).and_then(Value::as_str) else { return Ok(None) };
    limits::rate(value)
        .map(Some)
        .map_err(|error| Error::Other(format!("annotation {key}: {error} (got {value:?})")))
}
