//! The limits of a node as a table for people: a row for each direction.

use std::ops::Range;

use node::{NotInEffect, Pair, ShapedDirection};

use crate::human::decimal;
use crate::table;

const HEADER: [&str; 12] = [
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
    "IN EFFECT",
];
/// The columns with numbers.
const NUMBERS: Range<usize> = 6..11;

/// Renders the table.
pub(crate) fn render(limited: &[Pair]) -> String {
    let mut rows = Vec::new();
    for each in limited {
        for (direction, limit, fault) in
            [("to pod", &each.ingress, &each.ingress_fault), ("from pod", &each.egress, &each.egress_fault)]
        {
            if limit.is_some() || fault.is_some() {
                rows.push(row(each, direction, limit.as_ref(), fault.as_ref()));
            }
        }
    }
    table::render(HEADER, NUMBERS, &rows)
}

fn row(
    pair: &Pair,
    direction: &str,
    limit: Option<&ShapedDirection>,
    fault: Option<&NotInEffect>,
) -> [String; HEADER.len()] {
    let attachment = pair.attachment.as_ref();
    let number = |number: fn(&ShapedDirection) -> String| table::cell(limit.map(number).as_deref());
    [
        table::cell(attachment.and_then(|attachment| attachment.pod.as_deref())),
        table::cell(attachment.map(|attachment| table::short_id(&attachment.container_id))),
        table::cell(attachment.map(|attachment| attachment.interface.as_str())),
        pair.host_end.name.clone(),
        direction.to_owned(),
        number(|limit| limit.device.clone()),
        number(|limit| decimal(limit.tbf.rate_bytes_per_sec.saturating_mul(8))),
        number(|limit| decimal(limit.tbf.burst_bytes.into())),
        number(|limit| decimal(limit.statistics.bytes)),
        number(|limit| limit.statistics.drops.to_string()),
        number(|limit| decimal(limit.statistics.backlog_bytes.into())),
        fault.map_or_else(|| "yes".to_owned(), |fault| format!("no: {fault}")),
    ]
}
