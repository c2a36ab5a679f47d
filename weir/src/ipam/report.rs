//! An audit for people and for programs.

use std::time::Duration;

use cni::printable;
use host_local::utc;
use node::{Audit, Holder, Network, RangeSummary, Reserved, State};
use serde_json::{Value, json};

/// Renders the ranges of a network, and below them each reservation that is not just attached.
pub(super) fn text(network: &Network, audit: &Audit) -> String {
    let width = audit.ranges.iter().map(|range| range.range.len()).max().unwrap_or(0).max("range".len());
    let line = |range: &str, cells: [&str; 6]| {
        let cells: String = cells.iter().map(|cell| format!(" {cell:>10}")).collect();
        format!("  {range:width$}{cells}\n")
    };
    let mut text = format!("{} ({})\n", network.name, network.directory.display());
    text.push_str(&line("range", ["size", "held", "free", "leaked", "torn", "duplicated"]));
    for range in &audit.ranges {
        let RangeSummary { size, held, free, leaked, torn, duplicated, .. } = range;
        let [size, free] =
            [size, free].map(|number| if range.size == 0 { "-".to_owned() } else { short(*number) });
        let counts = [held, leaked, torn, duplicated].map(u64::to_string);
        text.push_str(&line(&range.range, [&size, &counts[0], &free, &counts[1], &counts[2], &counts[3]]));
    }
    for reserved in audit.reservations.iter().filter(|reserved| is_remarkable(reserved)) {
        text.push_str(&format!("  {}\n", sentence(reserved)));
    }
    text + "\n"
}

/// Renders how many reservations were released, or would be with `--yes`.
pub(super) fn released(count: usize, yes: bool) -> String {
    match (yes, count) {
        (true, _) => format!("released {count}"),
        (false, 0) => "would release 0".to_owned(),
        (false, _) => format!("would release {count}; --yes does it"),
    }
}

/// Renders a reservation in one line.
pub(super) fn sentence(reserved: &Reserved) -> String {
    let mut words = vec![reserved.state.as_str().to_owned()];
    words.extend(reserved.is_duplicated.then(|| "duplicated".to_owned()));
    words.extend(reserved.is_outside.then(|| "outside every range".to_owned()));
    let carriers = match reserved.carriers.is_empty() {
        true => String::new(),
        false => format!(", on {}", reserved.places().join(" and ")),
    };
    let sentence = format!(
        "{}: {}, held for {} since {} ({}){carriers}",
        reserved.address,
        words.join(", "),
        reserved.holder,
        utc(reserved.since),
        age(reserved.held),
    );
    // Interfaces are named by pods, and holders by every program that writes to the directory.
    printable(&sentence).into_owned()
}

/// Renders an audit as JSON.
pub(super) fn to_json(network: &Network, audit: &Audit) -> Value {
    let range = |range: &RangeSummary| {
        json!({
            "range": range.range, "size": json_number(range.size), "held": range.held,
            "free": json_number(range.free),
            "leaked": range.leaked, "torn": range.torn, "duplicated": range.duplicated,
        })
    };
    let reservation = |reserved: &Reserved| {
        let (container_id, interface) = match &reserved.holder {
            Holder::Attachment { container_id, interface } => (Some(container_id), Some(interface)),
            Holder::Container { container_id } => (Some(container_id), None),
            Holder::Unknown | Holder::Empty => (None, None),
        };
        json!({
            "address": reserved.address, "state": reserved.state.as_str(), "containerID": container_id,
            "ifname": interface, "since": utc(reserved.since), "heldSeconds": reserved.held.as_secs(),
            "carriers": reserved.places(), "duplicated": reserved.is_duplicated, "outside": reserved.is_outside,
        })
    };
    json!({
        "network": network.name,
        "directory": network.directory,
        "ranges": audit.ranges.iter().map(range).collect::<Vec<_>>(),
        "reservations": audit.reservations.iter().map(reservation).collect::<Vec<_>>(),
    })
}

fn is_remarkable(reserved: &Reserved) -> bool {
    reserved.state != State::Attached || reserved.is_duplicated || reserved.is_outside
}

/// The size of a range. That of a large IPv6 range is a power of two, to a tenth.
fn short(number: u128) -> String {
    const MANY: u128 = 1 << 32;
    if number < MANY {
        return number.to_string();
    }
    // 53 bits are enough for a tenth.
    #[allow(clippy::cast_precision_loss)]
    let exponent = (number as f64).log2();
    format!("2^{exponent:.1}").trim_end_matches(".0").to_owned()
}

/// The size of a range for JSON. Most readers round numbers above 2^53.
fn json_number(number: u128) -> Value {
    // No JSON library has larger integers: they are written as 7.9e+28.
    #[allow(clippy::cast_precision_loss)]
    u64::try_from(number).map_or_else(|_| json!(number as f64), |number| json!(number))
}

fn age(held: Duration) -> String {
    let seconds = held.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_sizes_are_short() {
        let ages = [0, 119, 120, 7199, 7200, 172_800].map(|seconds| age(Duration::from_secs(seconds)));
        assert_eq!(ages, ["0 s", "119 s", "2 min", "119 min", "2 h", "2 days"]);
        let sizes = [253, (1 << 32) - 1, (1 << 64) - 2, 3 << 80, (1 << 96) - 2, u128::MAX];
        assert_eq!(sizes.map(short), ["253", "4294967295", "2^64", "2^81.6", "2^96", "2^128"]);
        assert_eq!(json_number((1 << 64) - 2).to_string(), "18446744073709551614");
        assert_eq!(json_number(1 << 96).to_string(), "7.922816251426434e+28");
    }
}
