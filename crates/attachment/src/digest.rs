//! Names and hardware addresses that follow from an attachment: the same at each call, without a record.

use linux::Mac;
use sha2::{Digest, Sha512};

/// Returns the SHA-512 of the parts, each with a zero byte behind it, and of `end`. No part has a zero byte.
pub(crate) fn digest(parts: &[&str], end: &[u8]) -> [u8; 64] {
    let mut hash = Sha512::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.update(end);
    hash.finalize().into()
}

/// Returns a local unicast hardware address that follows from the parts and `end`.
pub fn mac(parts: &[&str], end: &[u8]) -> Mac {
    let [a, b, c, d, e, f, ..] = digest(parts, end);
    Mac::local([a, b, c, d, e, f])
}
