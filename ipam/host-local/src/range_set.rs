//! Ranges from which an attachment gets one address.

use std::fmt;
use std::net::IpAddr;

use cni::Failure;

use crate::config::RangeKeys;
use crate::error::Result;
use crate::range::Range;

/// Ranges of one address family that do not overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RangeSet {
    /// The set's key in the config, for messages.
    pub(crate) key: String,
    /// At least one range.
    pub(crate) ranges: Vec<Range>,
}

impl RangeSet {
    /// Checks the ranges of the set at `key`. Each range comes with its own key.
    pub(crate) fn new<'a>(
        key: String,
        ranges: impl Iterator<Item = (&'a RangeKeys, String)>,
    ) -> Result<Self> {
        let ranges = ranges.map(|(keys, key)| Range::new(keys, &key)).collect::<Result<Vec<_>>>()?;
        let Some(first) = ranges.first() else { return Err(Failure::invalid_key(key, "empty range set")) };
        if ranges.iter().any(|range| range.subnet.is_ipv4() != first.subnet.is_ipv4()) {
            return Err(Failure::invalid_key(key, "mixed address families"));
        }
        for (index, range) in ranges.iter().enumerate() {
            if let Some(other) = ranges[index + 1..].iter().find(|other| range.overlaps(other)) {
                return Err(Failure::invalid_key(key, format_args!("subnets {range} and {other} overlap")));
            }
        }
        Ok(Self { key, ranges })
    }

    /// Returns the range that contains `address`.
    pub(crate) fn range_of(&self, address: IpAddr) -> Option<&Range> {
        self.ranges.iter().find(|range| range.contains(address))
    }

    /// Returns whether the ranges are of IPv4.
    pub(crate) fn is_ipv4(&self) -> bool {
        self.ranges.first().is_some_and(|range| range.subnet.is_ipv4())
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.ranges.iter().any(|range| other.ranges.iter().any(|other| range.overlaps(other)))
    }
}

impl fmt::Display for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.ranges.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(f, "{separator}{range}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::range::tests::keys;

    /// Returns a set of whole subnets.
    pub(crate) fn set(subnets: &[&str]) -> Result<RangeSet> {
        let keys: Vec<_> = subnets.iter().map(|subnet| keys(subnet)).collect();
        let named = keys.iter().enumerate().map(|(index, keys)| (keys, format!("ipam.ranges[0][{index}]")));
        RangeSet::new("ipam.ranges[0]".to_owned(), named)
    }

    #[test]
    fn a_set_shows_its_ranges_as_the_reference_does() {
        assert_eq!(
            set(&["10.1.2.0/24", "10.1.4.0/29"]).unwrap().to_string(),
            "10.1.2.1-10.1.2.254,10.1.4.1-10.1.4.6"
        );
    }

    #[test]
    fn a_set_is_of_one_family() {
        let error = set(&["10.1.2.0/24", "fd00::/64"]).unwrap_err().to_string();
        assert_eq!(error, "ipam.ranges[0]: mixed address families");
    }

    #[test]
    fn ranges_of_a_set_do_not_overlap() {
        let error = set(&["10.1.2.0/24", "10.1.3.0/24", "10.1.3.128/25"]).unwrap_err().to_string();
        assert_eq!(error, "ipam.ranges[0]: subnets 10.1.3.1-10.1.3.254 and 10.1.3.129-10.1.3.254 overlap");
    }

    #[test]
    fn a_set_without_ranges_is_refused() {
        assert_eq!(set(&[]).unwrap_err().to_string(), "ipam.ranges[0]: empty range set");
    }
}
