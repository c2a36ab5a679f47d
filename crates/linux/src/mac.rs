//! Ethernet hardware addresses.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::str::FromStr;

/// A 48-bit Ethernet address, shown as `0a:58:0a:01:00:07`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

/// Text that is not an Ethernet address.
#[derive(Debug, thiserror::Error)]
#[error("want six hexadecimal bytes, such as 0a:58:0a:01:00:07, 0a-58-0a-01-00-07 or 0a58.0a01.0007")]
pub struct ParseMacError;

impl Mac {
    /// Returns a random unicast address from the locally administered range (IEEE 802, bit 1 of the first byte).
    ///
    /// Set explicitly when a link is created, it keeps udev's `MACAddressPolicy` from changing the
    /// address afterwards.
    ///
    /// The random bits are the keys of this process's hash maps (`getrandom(2)`), which exist already.
    pub fn random() -> Self {
        let [a, b, c, d, e, f, ..] = RandomState::new().build_hasher().finish().to_ne_bytes();
        Self::local([a, b, c, d, e, f])
    }

    /// Returns `bytes` as a locally administered unicast address.
    pub fn local(mut bytes: [u8; 6]) -> Self {
        bytes[0] = bytes[0] & 0xfe | 0x02;
        Self(bytes)
    }

    /// Returns whether every byte is zero, as for a bridge without ports and without an address of its own.
    pub fn is_zero(self) -> bool {
        self.0 == [0; 6]
    }

    /// Returns whether a device can have the address: not multicast, not all zero.
    pub fn is_assignable(self) -> bool {
        self.0[0] & 1 == 0 && !self.is_zero()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = ParseMacError;

    /// Reads bytes separated by colons or dashes, or pairs of bytes separated by dots, in either case, as Go's
    /// `net.ParseMAC` does for the reference.
    fn from_str(text: &str) -> Result<Self, ParseMacError> {
        let (separator, part_bytes) = match text {
            text if text.contains('.') => ('.', 2),
            text if text.contains('-') => ('-', 1),
            _ => (':', 1),
        };
        let mut bytes = [0; 6];
        let mut parts = text.split(separator);
        for chunk in bytes.chunks_exact_mut(part_bytes) {
            let digits = parts.next().filter(|part| part.len() == 2 * part_bytes).ok_or(ParseMacError)?;
            for (byte, digits) in chunk.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
                let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'));
                *byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or(ParseMacError)?;
            }
        }
        parts.next().is_none().then_some(Self(bytes)).ok_or(ParseMacError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_as_it_is_shown() {
        let mac: Mac = "0A:58:0a:01:00:07".parse().unwrap();
        assert_eq!(mac.to_string(), "0a:58:0a:01:00:07");
        for same in ["0a-58-0a-01-00-07", "0a58.0a01.0007", "0A58.0a01.0007"] {
            assert_eq!(same.parse::<Mac>().unwrap(), mac, "{same}");
        }
    }

    #[test]
    fn anything_but_six_bytes_is_refused() {
        for text in [
            "",
            "0a:58:0a:01:00",
            "0a:58:0a:01:00:07:01",
            "0a:58:0a:01:00:7",
            "0g:58:0a:01:00:07",
            "+a:58:0a:01:00:07",
            "0a:58:0a:01-00-07",
            "0a58.0a01",
            "0a58.0a01.0007.0001",
            "0a58.0a01.00:07",
            "0a58.0a01.00é",
            "0a580a010007",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }

    #[test]
    fn random_addresses_are_local_unicast_and_differ() {
        let (one, other) = (Mac::random(), Mac::random());
        assert_ne!(one, other);
        assert_eq!(one.0[0] & 0b11, 0b10);
    }
}
