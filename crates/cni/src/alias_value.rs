//! One value in a link's alias, such as a network's name: escaped, and shortened where an alias has no room.

use std::fmt::Write;

use sha2::{Digest, Sha512};

/// A value that is at most this long is never shortened.
const SHORT_MAX: usize = 34;
/// So many bytes of the digest, in hexadecimal.
const DIGEST_BYTES: usize = 8;
/// Stands before the digest. No container ID or network name has it (specification, section 2, "Parameters").
pub(crate) const SHORTENED: char = '~';

/// Replaces every byte but printable ASCII, and the space, `=` and `%`, by `%` and two hexadecimal digits (RFC 3986,
/// section 2.1). So a value has no separator, no control character and no key in it.
pub(crate) fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'%' | b'=') {
            escaped.push(byte.into());
        } else {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// The value that [`escape`] was given. An escape or a character that the end of an alias cut in two is left out; every
/// other `%` stands for itself.
pub(crate) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('%') {
        bytes.extend(plain.as_bytes());
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None if after.len() < 2 => rest = "",
            None => {
                bytes.push(b'%');
                rest = after;
            }
        }
    }
    bytes.extend(rest.as_bytes());
    if let Err(error) = str::from_utf8(&bytes)
        && error.error_len().is_none()
    {
        bytes.truncate(error.valid_up_to());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Of a long value the beginning and a digest of all of it; a short one as it is.
pub(crate) fn shorten(value: &str) -> String {
    if value.len() <= SHORT_MAX {
        return value.to_owned();
    }
    let beginning = value.floor_char_boundary(SHORT_MAX - SHORTENED.len_utf8() - 2 * DIGEST_BYTES);
    let mut short = value[..beginning].to_owned();
    short.push(SHORTENED);
    for byte in &Sha512::digest(value)[..DIGEST_BYTES] {
        // Writing to a String cannot fail.
        let _ = write!(short, "{byte:02x}");
    }
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_value_reads_back_and_has_no_separator(value in any::<String>()) {
            let escaped = escape(&value);
            prop_assert!(escaped.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'='));
            prop_assert_eq!(unescape(&escaped), value);
        }
    }

    #[test]
    fn a_value_that_was_cut_anywhere_reads_as_its_beginning() {
        let escaped = escape("shop/wäb…");
        for end in 0..escaped.len() {
            let read = unescape(&escaped[..end]);
            assert!("shop/wäb…".starts_with(&read), "{read}");
        }
    }

    #[test]
    fn usual_values_stay_readable() {
        for value in ["shop/web-0", "k8s-pod-network", "8f2b1cd37a6e5", "net.1_a"] {
            assert_eq!((escape(value).as_str(), shorten(value).as_str()), (value, value));
        }
    }

    #[test]
    fn a_digest_tells_long_values_apart() {
        let (one, other) = ("c".repeat(64) + "1", "c".repeat(64) + "2");
        assert!(shorten(&one).len() <= SHORT_MAX && shorten(&one) != shorten(&other));
        assert_eq!(shorten(&shorten(&one)), shorten(&one));
    }
}
