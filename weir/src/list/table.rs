//! The attachments of a node as a table for people.

use std::ops::Range;

use node::{AttachmentState, ShapedDirection};

use crate::human::decimal;
use crate::table;

const HEADER: [&str; 12] = [
    "NETWORK",
    "POD",
    "CONTAINER",
    "INTERFACE",
    "HOST",
    "BRIDGE",
    "MAKER",
    "MAC",
    "MTU",
    "BIT/S TO",
    "BIT/S FROM",
    "ADDRESSES",
];
/// The columns with numbers.
const NUMBERS: Range<usize> = 8..11;

/// Renders the table; `-` stands for what is absent or not known.
pub(crate) fn render(attachments: &[AttachmentState]) -> String {
    table::render(HEADER, NUMBERS, &attachments.iter().map(row).collect::<Vec<_>>())
}

fn row(state: &AttachmentState) -> [String; HEADER.len()] {
    let (attachment, pod_end) = (state.attachment(), state.pod_end.as_ref());
    let rate = |limit: &Option<ShapedDirection>| {
        let rate = limit.as_ref().map(|limit| decimal(limit.tbf.rate_bytes_per_sec.saturating_mul(8)));
        table::cell(rate.as_deref())
    };
    [
        table::cell(attachment.map(|attachment| attachment.network.as_str())),
        table::cell(attachment.and_then(|attachment| attachment.pod.as_deref())),
        table::cell(attachment.map(|attachment| table::short_id(&attachment.container_id))),
        table::cell(state.interface()),
        state.pair.host_end.name.clone(),
        table::cell(state.bridge.as_deref()),
        table::cell(state.is_ours().then_some("weir")),
        table::cell(pod_end.and_then(|end| end.link.mac).map(|mac| mac.to_string()).as_deref()),
        table::cell(pod_end.map(|end| end.link.mtu.to_string()).as_deref()),
        rate(&state.pair.ingress),
        rate(&state.pair.egress),
        table::cell(pod_end.map(|end| table::items(&end.addresses)).as_deref()),
    ]
}
