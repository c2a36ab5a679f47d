//! A page of the index: the addresses of the holders whose hash selects it.

use std::net::{IpAddr, Ipv6Addr};

use super::checksum::checksum;

/// Bytes of a page.
pub(super) const PAGE: usize = 4096;
/// Bytes of an entry: key, address, time of change, each little-endian.
const ENTRY: usize = 32;
/// The checksum has the first slot.
const ENTRIES: usize = PAGE / ENTRY - 1;

/// One address of an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The hash of the holder; never 0.
    pub(crate) key: u64,
    pub(crate) address: IpAddr,
    /// When the reservation's file changed last, in nanoseconds since 1970.
    pub(crate) changed: i64,
}

/// A page, with its position for the checksum.
pub(super) struct Page {
    place: u64,
    bytes: [u8; PAGE],
}

impl Page {
    /// Returns a page without entries for `place`.
    pub(super) fn empty(place: u64) -> Self {
        Self { place, bytes: [0; PAGE] }
    }

    /// Checks the bytes that were read at `place`; `None` when they are damaged.
    pub(super) fn read(place: u64, bytes: [u8; PAGE]) -> Option<Self> {
        let sum = u64_at(&bytes, 0);
        (sum == checksum(place, &bytes[8..])).then_some(Self { place, bytes })
    }

    /// Returns the bytes to write, with the checksum.
    pub(super) fn sealed(&mut self) -> &[u8; PAGE] {
        let sum = checksum(self.place, &self.bytes[8..]);
        self.bytes[..8].copy_from_slice(&sum.to_le_bytes());
        &self.bytes
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        self.bytes.as_chunks::<ENTRY>().0[1..].iter().filter_map(decode)
    }

    /// Adds an entry; returns `false` when the page is full.
    pub(super) fn insert(&mut self, entry: Entry) -> bool {
        let places = &mut self.bytes.as_chunks_mut::<ENTRY>().0[1..];
        debug_assert_eq!(places.len(), ENTRIES);
        match places.iter_mut().find(|place| u64_at(*place, 0) == 0) {
            Some(place) => {
                *place = encode(entry);
                true
            }
            None => false,
        }
    }

    /// Removes the entry with this key and address; returns `false` when there is none.
    pub(super) fn remove(&mut self, key: u64, address: IpAddr) -> bool {
        let places = &mut self.bytes.as_chunks_mut::<ENTRY>().0[1..];
        let is_it = |place: &[u8; ENTRY]| {
            decode(place).is_some_and(|entry| entry.key == key && entry.address == address)
        };
        match places.iter_mut().find(|place| is_it(place)) {
            Some(place) => {
                *place = [0; ENTRY];
                true
            }
            None => false,
        }
    }
}

/// Returns the address as IPv6; an IPv4 address is mapped.
pub(super) fn wide(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// Reverses [`wide`].
pub(super) fn narrow(address: u128) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from(address)).to_canonical()
}

fn encode(entry: Entry) -> [u8; ENTRY] {
    let mut bytes = [0; ENTRY];
    bytes[..8].copy_from_slice(&entry.key.to_le_bytes());
    bytes[8..24].copy_from_slice(&wide(entry.address).to_le_bytes());
    bytes[24..].copy_from_slice(&entry.changed.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; ENTRY]) -> Option<Entry> {
    let key = u64_at(bytes, 0);
    let address = narrow(bytes[8..].first_chunk().copied().map_or(0, u128::from_le_bytes));
    let changed = bytes[24..].first_chunk().copied().map_or(0, i64::from_le_bytes);
    (key != 0).then_some(Entry { key, address, changed })
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).copied().map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u16) -> Entry {
        let address = IpAddr::from([10, 0, (number >> 8) as u8, (number & 255) as u8]);
        Entry { key: u64::from(number) + 1, address, changed: i64::from(number) }
    }

    #[test]
    fn a_page_keeps_its_entries_and_reports_when_it_is_full() {
        let mut page = Page::empty(3);
        let room = (0..).take_while(|number| page.insert(entry(*number))).count();
        assert_eq!(room, ENTRIES);
        let mut page = Page::read(3, *page.sealed()).unwrap();
        assert!(page.entries().eq((0..127).map(entry)));
        assert!(page.remove(8, entry(7).address));
        assert!(!page.remove(8, entry(7).address));
        assert!(!page.remove(9, entry(7).address));
        assert_eq!(page.entries().count(), ENTRIES - 1);
        assert!(page.insert(entry(7)));
    }

    #[test]
    fn a_damaged_page_is_noticed_wherever_the_damage_is() {
        let mut page = Page::empty(3);
        page.insert(entry(1));
        let bytes = *page.sealed();
        assert!(Page::read(4, bytes).is_none());
        assert!(Page::read(3, [0; PAGE]).is_none());
        for offset in 0..PAGE {
            let mut bytes = bytes;
            bytes[offset] ^= 0x10;
            assert!(Page::read(3, bytes).is_none(), "{offset}");
        }
    }

    #[test]
    fn both_families_survive_being_widened() {
        for text in ["10.0.0.1", "0.0.0.0", "255.255.255.255", "fd00::1", "::", "::1"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(narrow(wide(address)), address);
        }
    }
}
