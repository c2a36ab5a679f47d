//! Hash and checksum of the index: FNV-1a, which stays the same in every version of weir.

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// Returns the hash of a text.
pub(super) fn hash(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().copied().flatten();
    bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

/// Returns the checksum of the page or block at `place`, eight bytes at a time. A page of zeros and a page at the wrong
/// position do not have it.
pub(super) fn checksum(place: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let start = (OFFSET ^ place).wrapping_mul(PRIME);
    let sum = words.iter().fold(start, |sum, word| step(sum, u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, byte| step(sum, u64::from(*byte)))
}

/// The multiplication carries only upwards; the rotation brings the high bits back down.
fn step(sum: u64, word: u64) -> u64 {
    (sum ^ word).wrapping_mul(PRIME).rotate_left(29)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_stays_the_one_that_other_versions_wrote() {
        assert_eq!(hash(&[b""]), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(&[b"foo", b"bar"]), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_single_bit_changes_the_checksum() {
        let page = [0u8; 4096];
        let sum = checksum(7, &page);
        assert_ne!(sum, checksum(8, &page));
        for bit in 0..4096 * 8 {
            let mut page = page;
            page[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(checksum(7, &page), sum, "bit {bit}");
        }
    }
}
