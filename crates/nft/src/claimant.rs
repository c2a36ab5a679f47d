//! Claimants: the text that people read, and the digest that decides.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// The claimant of an object, as the object names it: in user data, or in the data of a map's element.
///
/// Two claimants are the same if their digests are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant {
    /// The comment that `nft` shows, of at most 127 bytes.
    pub comment: String,
    /// Decides whether two claimants are the same.
    pub digest: Digest,
}

impl fmt::Display for Claimant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.comment)
    }
}

/// The first 16 bytes of the SHA-256 of a claimant's parts, each preceded by its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; Digest::LEN]);

impl Digest {
    /// In bytes.
    pub const LEN: usize = 16;

    /// Returns the digest of these parts.
    pub fn of(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut digest = [0; Self::LEN];
        digest.copy_from_slice(&hash.finalize()[..Self::LEN]);
        Self(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_letter_between_parts_changes_the_digest() {
        assert_ne!(Digest::of(&["ab", "c", "eth0"]), Digest::of(&["a", "bc", "eth0"]));
    }
}
