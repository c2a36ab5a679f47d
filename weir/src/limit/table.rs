//! The limits of a node as a table for people: a row for each direction.

use std::fmt::Write;

use bandwidth::{Shaped, ShapedDirection};

use super::human::decimal;

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
/// So much of a container's ID tells it apart (`crictl` prints as much).
const ID_LENGTH: usize = 13;

/// The table, with a header, columns aligned; numbers to the right.
pub(crate) fn render(shaped: &[Shaped]) -> String {
    let mut rows = vec![HEADER.map(str::to_owned)];
    for each in shaped {
        for (direction, limit) in [("to pod", &each.ingress), ("from pod", &each.egress)] {
            rows.extend(limit.as_ref().map(|limit| row(each, direction, limit)));
        }
    }
    let mut widths = [0; HEADER.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.len());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let is_number = column >= 6;
            // Writing to a String cannot fail.
            let _ =
                if is_number { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:<width$}  ") };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row(shaped: &Shaped, direction: &str, limit: &ShapedDirection) -> [String; HEADER.len()] {
    let or_unknown = |text: Option<&str>| text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned();
    let attachment = shaped.attachment.as_ref();
    let id = attachment.map(|attachment| attachment.container_id.as_str());
    let statistics = &limit.statistics;
    [
        or_unknown(attachment.and_then(|attachment| attachment.pod.as_deref())),
        or_unknown(id.map(|id| &id[..id.floor_char_boundary(ID_LENGTH)])),
        or_unknown(attachment.map(|attachment| attachment.interface.as_str())),
        shaped.host_end.name.clone(),
        direction.to_owned(),
        limit.device.clone(),
        decimal(limit.tbf.rate_bytes_per_sec.saturating_mul(8)),
        decimal(limit.tbf.burst_bytes.into()),
        decimal(statistics.bytes),
        statistics.drops.to_string(),
        decimal(statistics.backlog_bytes.into()),
    ]
}
