//! A value in a link's alias, such as the network's name: escaped, and shortened to fit.

use std::fmt::Write;

use sha2::{Digest, Sha512};

/// The bytes of a shortened value. A value that is no longer is kept whole.
const SHORT_MAX: usize = 34;
/// The bytes of the digest, before they are written in hexadecimal.
const DIGEST_BYTES: usize = 8;
/// Precedes the digest. It is not allowed in a container ID or network name (specification, section 2, "Parameters").
pub(crate) const SHORTENED: char = '~';

/// Replaces every byte that is not printable ASCII, and the space, `=` and `%`, by `%` and two hexadecimal digits (RFC
/// 3986, section 2.1). The result contains no separator, no control character and no key.
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

/// Reverses [`escape`]. An escape or a character that the end of an alias cut in two is dropped; any other invalid
/// escape is kept as it is.
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

/// Returns the beginning of a long value and a digest of all of it; a short value as it is.
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
