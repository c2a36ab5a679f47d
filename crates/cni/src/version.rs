//! Versions of the CNI specification.

use crate::failure::{Answer, Failure, code};

/// A version of the specification; later versions are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.1.0: a result has `ip4` and `ip6`.
    V0_1_0,
    /// 0.2.0: adds VERSION.
    V0_2_0,
    /// 0.3.0: a result has `interfaces` and `ips`, chains have `prevResult`.
    V0_3_0,
    /// 0.3.1.
    V0_3_1,
    /// 0.4.0: adds CHECK, and `prevResult` for DEL.
    V0_4_0,
    /// 1.0.0: `ips[].version` is gone.
    V1_0_0,
    /// 1.1.0: adds GC and STATUS.
    V1_1_0,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Self; 7] =
        [Self::V0_1_0, Self::V0_2_0, Self::V0_3_0, Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];
    /// The newest version.
    pub const NEWEST: Self = Self::V1_1_0;

    /// Parses a config's `cniVersion`; an absent or empty one means 0.1.0.
    ///
    /// # Errors
    /// Code 1: versions match exactly or not at all.
    pub(crate) fn of_config(text: &str) -> Answer<Self> {
        if text.is_empty() {
            return Ok(Self::V0_1_0);
        }
        Self::ALL.into_iter().find(|version| version.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(|version| format!("{:?}", version.as_str())).join(" ");
            Failure::new(code::INCOMPATIBLE_VERSION, "incompatible CNI versions")
                .with_details(format!("config is {text:?}, plugin supports [{known}]"))
        })
    }

    /// Checks that a result of this version has room for addresses of these families: before 0.3.0 it has one IPv4 and
    /// one IPv6 address.
    ///
    /// # Errors
    /// Code 7, in the reference's words.
    pub fn check_room(self, are_ipv4: impl IntoIterator<Item = bool>) -> Answer<()> {
        let (ipv4, ipv6): (Vec<_>, Vec<_>) = are_ipv4.into_iter().partition(|is_ipv4| *is_ipv4);
        if self >= Self::V0_3_0 || ipv4.len().max(ipv6.len()) <= 1 {
            return Ok(());
        }
        let sentence = format!("CNI version {self} does not support more than 1 address per family");
        Err(Failure::new(code::INVALID_CONFIG, sentence))
    }

    /// Returns the text of `cniVersion`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0_1_0 => "0.1.0",
            Self::V0_2_0 => "0.2.0",
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_without_a_version_is_of_the_first() {
        assert_eq!(Version::of_config("").unwrap(), Version::V0_1_0);
    }

    #[test]
    fn versions_match_exactly_or_not_at_all() {
        assert_eq!(Version::of_config("1.0.0").unwrap(), Version::V1_0_0);
        for text in ["1.0", "v1.0.0", "1.2.0", "0.3", ">=1.0.0"] {
            assert!(Version::of_config(text).is_err(), "{text}");
        }
    }
}
