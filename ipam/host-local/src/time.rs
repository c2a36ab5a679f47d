//! Points in time as text.

use std::time::{Duration, SystemTime};

/// The last second of the year 9999: RFC 3339 has four digits for a year.
const LAST_SECOND: u64 = 253_402_300_799;

/// Returns the time as `2026-11-22T02:17:36Z` (RFC 3339). A time outside of 1970 to 9999, which a file can have,
/// becomes the nearest one in that range.
pub fn utc(time: SystemTime) -> String {
    let first = SystemTime::UNIX_EPOCH;
    humantime::format_rfc3339_seconds(time.clamp(first, first + Duration::from_secs(LAST_SECOND))).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_what_date_prints() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_313_856, "2026-11-22T02:17:36Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_800, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(utc(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(utc(before), "1970-01-01T00:00:00Z");
    }
}
