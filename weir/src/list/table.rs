//! The attachments of a node as a table for people.

use std::ops::Range;

use bandwidth::ShapedDirection;

use crate::human::decimal;
use crate::table;

use super::listed::Listed;

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

/// The table; `-` stands for what is not there or not known.
pub(crate) fn render(listed: &[Listed]) -> String {
    table::render(HEADER, NUMBERS, &listed.iter().map(row).collect::<Vec<_>>())
}

fn row(listed: &Listed) -> [String; HEADER.len()] {
    let (attachment, pod_end) = (listed.attachment(), listed.pod_end.as_ref());
    let rate = |limit: &Option<ShapedDirection>| {
        let rate = limit.as_ref().map(|limit| decimal(limit.tbf.rate_bytes_per_sec.saturating_mul(8)));
        table::cell(rate.as_deref())
    };
    [
        table::cell(attachment.map(|attachment| attachment.network.as_str())),
        table::cell(attachment.and_then(|attachment| attachment.pod.as_deref())),
        table::cell(attachment.map(|attachment| table::short_id(&attachment.container_id))),
        table::cell(listed.interface()),
        listed.pair.host_end.name.clone(),
        table::cell(listed.bridge.as_deref()),
        table::cell(listed.is_ours().then_some("weir")),
        table::cell(pod_end.and_then(|end| end.link.mac).map(|mac| mac.to_string()).as_deref()),
        table::cell(pod_end.map(|end| end.link.mtu.to_string()).as_deref()),
        rate(&listed.pair.ingress),
        rate(&listed.pair.egress),
        table::cell(pod_end.map(|end| table::items(&end.addresses)).as_deref()),
    ]
}
