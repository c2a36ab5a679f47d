//! An audit for people and for programs.

use std::time::Duration;

use host_local::{Audit, Holder, Network, RangeSummary, Reserved, State, utc};
use serde_json::{Value, json};

/// Prints the ranges of a network, and below them each reservation that is not plainly attached.
pub(super) fn print(network: &Network, audit: &Audit) {
    println!("{} ({})", network.name, network.directory.display());
    let width = audit.ranges.iter().map(|range| range.range.len()).max().unwrap_or(0).max("range".len());
    let line = |range: &str, cells: [&str; 6]| {
        let cells: String = cells.iter().map(|cell| format!(" {cell:>10}")).collect();
        println!("  {range:width$}{cells}");
    };
    line("range", ["size", "held", "free", "leaked", "torn", "duplicated"]);
    for range in &audit.ranges {
        let RangeSummary { size, held, free, leaked, torn, duplicated, .. } = range;
        let [size, free] =
            [size, free].map(|number| if range.size == 0 { "-".to_owned() } else { short(*number) });
        let counts = [held, leaked, torn, duplicated].map(u64::to_string);
        line(&range.range, [&size, &counts[0], &free, &counts[1], &counts[2], &counts[3]]);
    }
    for reserved in audit.reservations.iter().filter(|reserved| is_remarkable(reserved)) {
        println!("  {}", sentence(reserved));
    }
    println!();
}

/// One reservation in a line.
pub(super) fn sentence(reserved: &Reserved) -> String {
    let mut words = vec![reserved.state.as_str().to_owned()];
    words.extend(reserved.is_duplicated.then(|| "duplicated".to_owned()));
    words.extend(reserved.is_outside.then(|| "outside every range".to_owned()));
    let carriers = match reserved.carriers.is_empty() {
        true => String::new(),
        false => format!(", on {}", reserved.places().join(" and ")),
    };
    format!(
        "{}: {}, held for {} since {} ({}){carriers}",
        reserved.address,
        words.join(", "),
        reserved.holder,
        utc(reserved.since),
        age(reserved.held),
    )
}

/// The same as JSON.
pub(super) fn to_json(network: &Network, audit: &Audit) -> Value {
    let range = |range: &RangeSummary| {
        json!({
            "range": range.range, "size": range.size, "held": range.held, "free": range.free,
            "leaked": range.leaked, "torn": range.torn, "duplicated": range.duplicated,
        })
    };
    let reservation = |reserved: &Reserved| {
        let (container_id, interface) = match &reserved.holder {
            Holder::Attachment { container_id, interface } => (Some(container_id), Some(interface)),
            Holder::Container { container_id } => (Some(container_id), None),
            Holder::Stranger | Holder::Nobody => (None, None),
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

/// A number that may be an IPv6 range's.
fn short(number: u64) -> String {
    const MANY: u64 = 1 << 32;
    if number < MANY { number.to_string() } else { format!("2^{}", number.ilog2()) }
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
        assert_eq!([253, u64::MAX].map(short), ["253", "2^63"]);
    }
}
