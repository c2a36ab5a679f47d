//! The limits of a node for the Prometheus node exporter's textfile collector.

use std::fmt::Write as _;

use bandwidth::{Pair, ShapedDirection};

/// A metric's name, type, help and value.
struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&ShapedDirection) -> u64,
}

/// Also of a limit of which only traces are left. The name is as stable as the others.
const IN_EFFECT: &str = "weir_limit_in_effect";

/// Stable: dashboards and alerts are built on these names.
const METRICS: [Metric; 8] = [
    Metric {
        name: "weir_limit_rate_bytes_per_second",
        kind: "gauge",
        help: "Rate that the pod is limited to.",
        value: |limit| limit.tbf.rate_bytes_per_sec,
    },
    Metric {
        name: "weir_limit_burst_bytes",
        kind: "gauge",
        help: "Bytes that may pass at once after a pause.",
        value: |limit| limit.tbf.burst_bytes.into(),
    },
    Metric {
        name: "weir_limit_queue_limit_bytes",
        kind: "gauge",
        help: "Bytes that may wait before further packets are dropped.",
        value: |limit| limit.tbf.limit_bytes.into(),
    },
    Metric {
        name: "weir_limit_passed_bytes_total",
        kind: "counter",
        help: "Bytes that passed the limit.",
        value: |limit| limit.statistics.bytes,
    },
    Metric {
        name: "weir_limit_passed_packets_total",
        kind: "counter",
        help: "Packets that passed the limit.",
        value: |limit| limit.statistics.packets,
    },
    Metric {
        name: "weir_limit_dropped_packets_total",
        kind: "counter",
        help: "Packets that were dropped because the queue was full.",
        value: |limit| limit.statistics.drops.into(),
    },
    Metric {
        name: "weir_limit_waiting_bytes",
        kind: "gauge",
        help: "Bytes that wait now.",
        value: |limit| limit.statistics.backlog_bytes.into(),
    },
    Metric {
        name: "weir_limit_waiting_packets",
        kind: "gauge",
        help: "Packets that wait now.",
        value: |limit| limit.statistics.backlog_packets.into(),
    },
];

/// The text of all metrics.
pub(crate) fn render(limited: &[Pair]) -> String {
    let mut text = String::new();
    for metric in &METRICS {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {} {}", metric.name, metric.help);
        let _ = writeln!(text, "# TYPE {} {}", metric.name, metric.kind);
        for each in limited {
            for (direction, limit) in [("ingress", &each.ingress), ("egress", &each.egress)] {
                let Some(limit) = limit else { continue };
                let _ = writeln!(
                    text,
                    "{}{{{}}} {}",
                    metric.name,
                    labels(each, direction),
                    (metric.value)(limit)
                );
            }
        }
    }
    let _ = writeln!(text, "# HELP {IN_EFFECT} Whether packets come to the limit and go on from there.");
    let _ = writeln!(text, "# TYPE {IN_EFFECT} gauge");
    for each in limited {
        for (direction, limit, fault) in
            [("ingress", &each.ingress, &each.ingress_fault), ("egress", &each.egress, &each.egress_fault)]
        {
            if limit.is_some() || fault.is_some() {
                let value = u8::from(fault.is_none());
                let _ = writeln!(text, "{IN_EFFECT}{{{}}} {value}", labels(each, direction));
            }
        }
    }
    text
}

fn labels(pair: &Pair, direction: &str) -> String {
    let attachment = pair.attachment.as_ref();
    let (namespace, pod) = attachment
        .and_then(|attachment| attachment.pod.as_deref())
        .and_then(|pod| pod.split_once('/'))
        .unwrap_or_default();
    [
        ("namespace", namespace),
        ("pod", pod),
        ("network", attachment.map_or("", |attachment| &attachment.network)),
        ("container", attachment.map_or("", |attachment| &attachment.container_id)),
        ("interface", attachment.map_or("", |attachment| &attachment.interface)),
        ("host_interface", &pair.host_end.name),
        ("direction", direction),
    ]
    .map(|(label, value)| format!("{label}=\"{}\"", escape(value)))
    .join(",")
}

/// As the text format wants label values (Prometheus, "Exposition formats").
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
