//! Attachments and limits as JSON: an object for each, numbers in the units that their names say.

use node::{AttachmentState, Pair, ShapedDirection};
use serde_json::{Value, json};

/// Renders a list of objects, with a line break at the end.
pub(crate) fn list(objects: impl Iterator<Item = Value>) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(&objects.collect::<Vec<_>>())? + "\n")
}

/// Renders an attachment with its limits.
pub(crate) fn attachment(state: &AttachmentState) -> Value {
    let mut object = pair(&state.pair);
    let pod_end = state.pod_end.as_ref();
    object["interface"] = json!(state.interface());
    object["bridge"] = json!(state.bridge);
    object["mac"] = json!(pod_end.and_then(|end| end.link.mac).map(|mac| mac.to_string()));
    object["mtuBytes"] = json!(pod_end.map(|end| end.link.mtu));
    object["addresses"] = json!(pod_end.map(|end| &end.addresses));
    object["maker"] = json!(state.is_ours().then_some("weir"));
    object
}

/// Renders the limits of a pair, and the attachment that it belongs to.
pub(crate) fn pair(pair: &Pair) -> Value {
    let attachment = pair.attachment.as_ref();
    json!({
        "pod": attachment.and_then(|attachment| attachment.pod.as_deref()),
        "network": attachment.map(|attachment| attachment.network.as_str()),
        "containerId": attachment.map(|attachment| attachment.container_id.as_str()),
        "interface": attachment.map(|attachment| attachment.interface.as_str()),
        "hostInterface": pair.host_end.name,
        "ingress": pair.ingress.as_ref().map(direction),
        "egress": pair.egress.as_ref().map(direction),
        "ingressNotInEffect": pair.ingress_fault.as_ref().map(ToString::to_string),
        "egressNotInEffect": pair.egress_fault.as_ref().map(ToString::to_string),
    })
}

fn direction(limit: &ShapedDirection) -> Value {
    json!({
        "device": limit.device,
        "rateBitsPerSecond": limit.tbf.rate_bytes_per_sec.saturating_mul(8),
        "burstBytes": limit.tbf.burst_bytes,
        "queueLimitBytes": limit.tbf.limit_bytes,
        "passedBytes": limit.statistics.bytes,
        "passedPackets": limit.statistics.packets,
        "droppedPackets": limit.statistics.drops,
        "delayedPackets": limit.statistics.overlimits,
        "waitingBytes": limit.statistics.backlog_bytes,
        "waitingPackets": limit.statistics.backlog_packets,
    })
}
