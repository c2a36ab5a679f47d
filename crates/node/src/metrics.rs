//! The limits of a node as metrics.

use bandwidth::{NotInEffect, Pair, ShapedDirection};
use limits::Direction;

/// A metric with its samples. Names, labels and units are stable: dashboards and alerts are built on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// Its name, with the unit.
    pub name: &'static str,
    /// Its type as Prometheus calls it: `gauge`, or `counter` for one that only grows.
    pub metric_type: &'static str,
    /// A sentence about it.
    pub help: &'static str,
    /// A sample for each direction that is limited.
    pub samples: Vec<Sample>,
}

/// One value of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Names and values of the labels. A value that is not known is empty.
    pub labels: [(&'static str, String); 7],
    /// The value, in the unit of the metric's name.
    pub value: u64,
}

/// Name, type, help and value of a metric of each limit.
type Definition = (&'static str, &'static str, &'static str, fn(&ShapedDirection) -> u64);

const LIMIT: [Definition; 8] = [
    ("weir_limit_rate_bytes_per_second", "gauge", "Rate that the pod is limited to.", |limit| {
        limit.tbf.rate_bytes_per_sec
    }),
    ("weir_limit_burst_bytes", "gauge", "Bytes that may pass at once after a pause.", |limit| {
        limit.tbf.burst_bytes.into()
    }),
    (
        "weir_limit_queue_limit_bytes",
        "gauge",
        "Bytes that may wait before further packets are dropped.",
        |limit| limit.tbf.limit_bytes.into(),
    ),
    ("weir_limit_passed_bytes_total", "counter", "Bytes that passed the limit.", |limit| {
        limit.statistics.bytes
    }),
    ("weir_limit_passed_packets_total", "counter", "Packets that passed the limit.", |limit| {
        limit.statistics.packets
    }),
    (
        "weir_limit_dropped_packets_total",
        "counter",
        "Packets that were dropped because the queue was full.",
        |limit| limit.statistics.drops.into(),
    ),
    ("weir_limit_waiting_bytes", "gauge", "Bytes that wait now.", |limit| {
        limit.statistics.backlog_bytes.into()
    }),
    ("weir_limit_waiting_packets", "gauge", "Packets that wait now.", |limit| {
        limit.statistics.backlog_packets.into()
    }),
];

/// Returns the metrics of the pairs' limits. `weir_limit_in_effect` also has a sample for a limit that lost its filter.
pub fn limit_metrics(limited: &[Pair]) -> Vec<Metric> {
    type Value<'a> = &'a dyn Fn(Option<&ShapedDirection>, Option<&NotInEffect>) -> Option<u64>;
    let metric = |name, metric_type, help, value: Value<'_>| {
        let limits = limited.iter().flat_map(|pair| pair.limits().map(move |limit| (pair, limit)));
        let samples = limits.filter_map(|(pair, (direction, limit, fault))| {
            Some(Sample { value: value(limit, fault)?, labels: labels(pair, direction) })
        });
        Metric { name, metric_type, help, samples: samples.collect() }
    };
    let of_limit = LIMIT.map(|(name, metric_type, help, value)| {
        metric(name, metric_type, help, &|limit, _| limit.map(value))
    });
    let help = "Whether packets come to the limit and go on from there.";
    let in_effect = metric("weir_limit_in_effect", "gauge", help, &|_, fault| Some(fault.is_none().into()));
    of_limit.into_iter().chain([in_effect]).collect()
}

fn labels(pair: &Pair, direction: Direction) -> [(&'static str, String); 7] {
    let attachment = pair.attachment.as_ref();
    let pod = attachment.and_then(|attachment| attachment.pod.as_deref());
    let (namespace, pod) = pod.and_then(|pod| pod.split_once('/')).unwrap_or_default();
    [
        ("namespace", namespace),
        ("pod", pod),
        ("network", attachment.map_or("", |attachment| &attachment.network)),
        ("container", attachment.map_or("", |attachment| &attachment.container_id)),
        ("interface", attachment.map_or("", |attachment| &attachment.interface)),
        ("host_interface", &pair.host_end.name),
        ("direction", direction.as_str()),
    ]
    .map(|(label, value)| (label, value.to_owned()))
}
