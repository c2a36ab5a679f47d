//! Numbers for people.

/// Renders a number with up to three digits and a decimal prefix: `12500000` as `12.5M`.
pub(crate) fn decimal(number: u64) -> String {
    const PREFIXES: [(&str, u64); 5] = [
        ("P", 1_000_000_000_000_000),
        ("T", 1_000_000_000_000),
        ("G", 1_000_000_000),
        ("M", 1_000_000),
        ("k", 1_000),
    ];
    let Some((prefix, unit)) = PREFIXES.into_iter().find(|(_, unit)| number >= *unit) else {
        return number.to_string();
    };
    let (whole, tenths) = (number / unit, number % unit * 10 / unit);
    if tenths == 0 || whole >= 100 { format!("{whole}{prefix}") } else { format!("{whole}.{tenths}{prefix}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1k"),
            (10_000_000, "10M"),
            (1_550_000, "1.5M"),
            (562_500, "562k"),
            (1_000_000_000_000_000, "1P"),
            (u64::MAX, "18446P"),
        ] {
            assert_eq!(decimal(number), text);
        }
    }
}
