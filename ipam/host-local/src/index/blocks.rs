//! A bit for each reserved address, to find the next free one without reading names.

use super::checksum::checksum;

/// The most blocks of an index. A block is of 65,536 addresses with the same leading bits, and a node has one or two.
/// The addresses of more blocks are looked up in the directory.
pub(super) const BLOCKS: usize = 16;
/// Bytes of a block.
pub(super) const BLOCK: usize = 8192;
const BITS: u32 = 16;

/// The reserved addresses of a block.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Block {
    words: Vec<u64>,
    /// Whether it differs from the file.
    pub(super) is_changed: bool,
}

impl Block {
    pub(super) fn empty() -> Self {
        Self { words: vec![0; BLOCK / 8], is_changed: true }
    }

    /// Checks the bytes that were read at `place`; `None` when they are damaged.
    pub(super) fn read(place: usize, bytes: &[u8], sum: u64) -> Option<Self> {
        let words = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        (checksum(place as u64, bytes) == sum).then_some(Self { words, is_changed: false })
    }

    /// Returns the bytes to write, and their checksum.
    pub(super) fn sealed(&self, place: usize) -> (Vec<u8>, u64) {
        let bytes: Vec<u8> = self.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let sum = checksum(place as u64, &bytes);
        (bytes, sum)
    }

    /// Records whether the address is reserved.
    pub(super) fn set(&mut self, wide: u128, held: bool) {
        let (word, bit) = (word_of(wide), 1u64 << (wide % 64));
        if held {
            self.words[word] |= bit;
        } else {
            self.words[word] &= !bit;
        }
        self.is_changed = true;
    }

    /// Returns the first free address of the block from `wide` on.
    pub(super) fn first_free(&self, wide: u128) -> Option<u128> {
        let start = word_of(wide);
        let before = (1u64 << (wide % 64)) - 1;
        let words = self.words[start..].iter().enumerate();
        let mut words = words.map(|(index, word)| (index, if index == 0 { word | before } else { *word }));
        let (index, word) = words.find(|(_, word)| *word != u64::MAX)?;
        let offset = ((start + index) * 64) as u128 + u128::from(word.trailing_ones());
        Some((block_of(wide) << BITS) + offset)
    }
}

/// Returns the number of the block of an address.
pub(super) fn block_of(wide: u128) -> u128 {
    wide >> BITS
}

/// Returns the first address after the block of `wide`.
pub(super) fn next_block(wide: u128) -> Option<u128> {
    (block_of(wide) + 1).checked_mul(1 << BITS)
}

fn word_of(wide: u128) -> usize {
    // What the mask leaves is below 1024.
    #[allow(clippy::cast_possible_truncation)]
    let word = ((wide >> 6) & 1023) as usize;
    word
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_block_has_no_free_address() {
        let mut block = Block::empty();
        for wide in 0..65_536 {
            assert_eq!(block.first_free(0), Some(wide));
            block.set(wide, true);
        }
        assert_eq!(block.first_free(0), None);
        block.set(40_000, false);
        assert_eq!(block.first_free(7), Some(40_000));
        assert_eq!(block.first_free(40_001), None);
        let (bytes, sum) = block.sealed(2);
        assert!(Block::read(2, &bytes, sum).unwrap().words == block.words);
        assert!(Block::read(1, &bytes, sum).is_none());
    }

    proptest! {
        #[test]
        fn the_first_free_address_is_the_one_of_a_plain_set(
            held in prop::collection::btree_set(0u128..300, 0..300), from in 0u128..300, high in any::<u64>(),
        ) {
            let base = u128::from(high) << BITS;
            let mut block = Block::empty();
            for wide in &held {
                block.set(base + wide, true);
            }
            let held: BTreeSet<u128> = held;
            let expected = (from..65_536).find(|wide| !held.contains(wide)).map(|wide| base + wide);
            prop_assert_eq!(block.first_free(base + from), expected);
        }
    }
}
