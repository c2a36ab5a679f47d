//! The limits of a node as a table for people: a row for each direction.

use std::ops::Range;

use bandwidth::{Pair, ShapedDirection};

use crate::human::decimal;
use crate::table;

const HEADER: [&str; 11] = [
    "POD",
    "CONTAINER",
    "INTERFACE",
    "HOST",
    "DIRECTION",
    "DEVICE",
    "BIT/S",
    "BURST B",
    "PASSED B",
    "DROPPED",
    "WAITING B",
];
/// The columns with numbers.
const NUMBERS: Range<usize> = 6..HEADER.len();

/// The table.
pub(crate) fn render(limited: &[Pair]) -> String {
    let mut rows = Vec::new();
    for each in limited {
        for (direction, limit) in [("to pod", &each.ingress), ("from pod", &each.egress)] {
            rows.extend(limit.as_ref().map(|limit| row(each, direction, limit)));
        }
    }
    table::render(HEADER, NUMBERS, &rows)
}

fn row(pair: &Pair, direction: &str, limit: &ShapedDirection) -> [String; HEADER.len()] {
    let attachment = pair.attachment.as_ref();
    let statistics = &limit.statistics;
    [
        table::cell(attachment.and_then(|attachment| attachment.pod.as_deref())),
        table::cell(attachment.map(|attachment| table::short_id(&attachment.container_id))),
        table::cell(attachment.map(|attachment| attachment.interface.as_str())),
        pair.host_end.name.clone(),
        direction.to_owned(),
        limit.device.clone(),
        decimal(limit.tbf.rate_bytes_per_sec.saturating_mul(8)),
        decimal(limit.tbf.burst_bytes.into()),
        decimal(statistics.bytes),
        statistics.drops.to_string(),
        decimal(statistics.backlog_bytes.into()),
    ]
}
