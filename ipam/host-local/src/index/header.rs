//! The header of the index: its format, and the state of the directory that it describes.

use std::fs;

use super::blocks::BLOCKS;
use super::checksum::checksum;
use crate::stamp::Stamp;

/// Bytes of the header.
pub(super) const HEADER: usize = 4096;
/// The last byte is the version of the format. An index of another version is rebuilt.
const MAGIC: &[u8; 16] = b"weir ipam index\x01";
/// Bytes of a UUID as text.
const BOOT_ID: usize = 36;
const BOOT_ID_FILE: &str = "/proc/sys/kernel/random/boot_id";

/// The header's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) boot: [u8; BOOT_ID],
    /// The directory's stamp when the index was right.
    pub(super) stamp: Stamp,
    /// Number of pages, a power of two.
    pub(super) pages: u32,
    /// Whether the pages lack reservations: their names are not the canonical text of an address, or one container has
    /// too many.
    pub(super) has_irregular: bool,
    /// Whether there are reserved addresses without a block.
    pub(super) has_unblocked: bool,
    /// The blocks in use with their checksums.
    pub(super) blocks: Vec<(u128, u64)>,
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend(MAGIC);
        bytes.extend(self.boot);
        bytes.extend([u8::from(self.has_irregular), u8::from(self.has_unblocked), 0, 0]);
        bytes.extend(self.pages.to_le_bytes());
        bytes.extend((self.blocks.len() as u64).to_le_bytes());
        bytes.extend(self.stamp.device.to_le_bytes());
        bytes.extend(self.stamp.inode.to_le_bytes());
        bytes.extend(self.stamp.modified.to_le_bytes());
        bytes.extend(self.stamp.changed.to_le_bytes());
        for (block, sum) in &self.blocks {
            bytes.extend(block.to_le_bytes());
            bytes.extend(sum.to_le_bytes());
        }
        bytes.resize(HEADER - 8, 0);
        bytes.extend(checksum(0, &bytes).to_le_bytes());
        bytes
    }

    /// Parses a header; `None` when it is damaged or of another version.
    pub(super) fn decode(bytes: &[u8; HEADER]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<8>()?;
        if u64::from_le_bytes(*sum) != checksum(0, body) {
            return None;
        }
        let mut fields = Fields(body);
        if fields.take::<16>()? != *MAGIC {
            return None;
        }
        let boot = fields.take()?;
        let [has_irregular, has_unblocked, ..] = fields.take::<4>()?;
        let pages = u32::from_le_bytes(fields.take()?);
        let count = u64::from_le_bytes(fields.take()?);
        let stamp = Stamp {
            device: u64::from_le_bytes(fields.take()?),
            inode: u64::from_le_bytes(fields.take()?),
            modified: i64::from_le_bytes(fields.take()?),
            changed: i64::from_le_bytes(fields.take()?),
        };
        let mut block = || Some((u128::from_le_bytes(fields.take()?), u64::from_le_bytes(fields.take()?)));
        let blocks = (0..count).map(|_| block()).collect::<Option<Vec<_>>>()?;
        let is_possible = pages.is_power_of_two() && blocks.len() <= BLOCKS;
        is_possible.then_some(Self {
            boot,
            stamp,
            pages,
            has_irregular: has_irregular != 0,
            has_unblocked: has_unblocked != 0,
            blocks,
        })
    }
}

/// Returns the kernel's boot ID; `None` without `/proc`.
pub(super) fn boot_id() -> Option<[u8; BOOT_ID]> {
    fs::read(BOOT_ID_FILE).ok()?.first_chunk().copied()
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_a_damaged_one_does_not() {
        let header = Header {
            boot: boot_id().unwrap(),
            stamp: Stamp { device: 1, inode: 2, modified: -3, changed: 4 },
            pages: 8,
            has_irregular: true,
            has_unblocked: false,
            blocks: (0..16).map(|block| (block << 100, 7)).collect(),
        };
        let bytes: [u8; HEADER] = header.encode().try_into().unwrap();
        assert_eq!(Header::decode(&bytes), Some(header));
        for offset in 0..HEADER {
            let mut bytes = bytes;
            bytes[offset] ^= 1;
            assert_eq!(Header::decode(&bytes), None, "{offset}");
        }
    }
}
