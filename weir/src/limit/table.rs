//! The limits of a node as a table for people: a row for each direction.

use std::ops::Range;

use limits::Direction;
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
    let rows =
        limited.iter().flat_map(|pair| pair.limits().map(|limit| row(pair, limit))).collect::<Vec<_>>();
    table::render(HEADER, NUMBERS, &rows)
}

fn row(
    pair: &Pair,
    (direction, limit, fault): (Direction, Option<&ShapedDirection>, Option<&NotInEffect>),
) -> [String; HEADER.len()] {
    let attachment = pair.attachment.as_ref();
    let number = |number: fn(&ShapedDirection) -> String| table::cell(limit.map(number).as_deref());
    [
        table::cell(attachment.and_then(|attachment| attachment.pod.as_deref())),
        table::cell(attachment.map(|attachment| table::short_id(&attachment.container_id))),
        table::cell(attachment.map(|attachment| attachment.interface.as_str())),
        pair.host_end.name.clone(),
        match direction {
            Direction::Ingress => "to pod".to_owned(),
            Direction::Egress => "from pod".to_owned(),
        },
        number(|limit| limit.device.clone()),
        number(|limit| decimal(limit.tbf.rate_bytes_per_sec.saturating_mul(8))),
        number(|limit| decimal(limit.tbf.burst_bytes.into())),
        number(|limit| decimal(limit.statistics.bytes)),
        number(|limit| limit.statistics.drops.to_string()),
        number(|limit| decimal(limit.statistics.backlog_bytes.into())),
        fault.map_or_else(|| "yes".to_owned(), |fault| format!("no: {fault}")),
    ]
}
