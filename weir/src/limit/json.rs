//! The limits of a node as JSON: an object for each attachment.

use bandwidth::{Shaped, ShapedDirection};
use serde_json::{Value, json};

use super::error::Error;

/// A list of attachments; numbers in the units that their names say.
pub(crate) fn render(shaped: &[Shaped]) -> Result<String, Error> {
    let list: Vec<_> = shaped.iter().map(attachment).collect();
    Ok(serde_json::to_string_pretty(&list)? + "\n")
}

fn attachment(shaped: &Shaped) -> Value {
    let attachment = shaped.attachment.as_ref();
    json!({
        "pod": attachment.and_then(|attachment| attachment.pod.as_deref()),
        "network": attachment.map(|attachment| attachment.network.as_str()),
        "containerId": attachment.map(|attachment| attachment.container_id.as_str()),
        "interface": attachment.map(|attachment| attachment.interface.as_str()),
        "hostInterface": shaped.host_end.name,
        "ingress": shaped.ingress.as_ref().map(direction),
        "egress": shaped.egress.as_ref().map(direction),
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
