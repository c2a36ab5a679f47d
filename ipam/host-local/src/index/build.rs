//! Building an index from the directory.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use super::backing::Backing;
use super::header::{Header, boot_id};
use super::page::{Entry, PAGE, Page, narrow, wide};
use super::{FIRST_PAGE, Index};
use crate::holder::Holder;
use crate::listing::{holder_at, list_with_times};
use crate::stamp::Stamp;

/// The average number of entries in a page of a new index, which has room for 127.
const ENTRIES_PER_PAGE: usize = 48;
/// The least average number of entries in a page: more pages do not help when all entries have one key.
const FEWEST_PER_PAGE: usize = 4;
/// More than a tick of the coarsest clock that a kernel uses for files.
const TICK_NANOSECONDS: i64 = 20_000_000;

impl Index {
    /// Builds the index of `directory`. An older index spares reading unchanged files.
    pub(crate) fn build(directory: &Path, older: Option<Self>) -> io::Result<Self> {
        let known = older.map(|older| older.unchanged_entries()).unwrap_or_default();
        let mut entries = Vec::new();
        let (mut held, mut has_irregular) = (Vec::new(), false);
        for reservation in list_with_times(directory)? {
            let address = reservation.address;
            let is_findable = reservation.is_regular() && narrow(wide(address)) == address;
            let Some(changed) = reservation.changed.filter(|_| is_findable) else {
                has_irregular = true;
                held.push(address);
                continue;
            };
            if let Some(entry) = known.get(&address).filter(|entry| entry.changed == changed) {
                entries.push(*entry);
                held.push(address);
                continue;
            }
            let holder = holder_at(&reservation.path(directory));
            // What a reservation that was never finished left may be taken like any other free address.
            if holder != Holder::Empty {
                held.push(address);
            }
            entries.extend(holder.key().map(|key| Entry { key, address, changed }));
        }
        let mut index = Self::of(&entries, has_irregular);
        for address in held {
            index.mark(address, true)?;
        }
        Ok(index)
    }

    /// Returns the entries whose file is unchanged if its time of change is. They had not been changed within the
    /// clock's last tick when the index was right, so a later change has another time.
    fn unchanged_entries(&self) -> HashMap<IpAddr, Entry> {
        let latest = self.header.stamp.changed.saturating_sub(TICK_NANOSECONDS);
        let entries = self.entries().unwrap_or_default().into_iter();
        entries.filter(|entry| entry.changed < latest).map(|entry| (entry.address, entry)).collect()
    }

    fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for place in 0..self.header.pages {
            entries.extend(self.page(place)?.entries());
        }
        Ok(entries)
    }

    /// Returns an index in memory with these entries, without the bits of their addresses.
    fn of(entries: &[Entry], has_irregular: bool) -> Self {
        let fewest = u32::try_from(entries.len() / ENTRIES_PER_PAGE + 1).unwrap_or(u32::MAX);
        let (pages, all_fit) = distribute(entries, fewest.next_power_of_two());
        let count = pages.len();
        let mut bytes = vec![0; FIRST_PAGE];
        bytes.reserve_exact(count * PAGE);
        for mut page in pages {
            bytes.extend(page.sealed());
        }
        let header = Header {
            boot: boot_id().unwrap_or([0; 36]),
            stamp: Stamp { device: 0, inode: 0, modified: 0, changed: 0 },
            pages: u32::try_from(count).unwrap_or(u32::MAX),
            has_irregular: has_irregular || !all_fit,
            has_unblocked: false,
            blocks: Vec::new(),
        };
        Self { backing: Backing::Memory(bytes), header, blocks: Vec::new(), is_changed: true }
    }

    /// Adds an entry whose page is full, with more pages.
    pub(super) fn grow(&mut self, entry: Entry) -> io::Result<()> {
        let mut entries = self.entries()?;
        entries.push(entry);
        for place in 0..self.blocks.len() {
            self.block(place)?.is_changed = true;
        }
        let grown = Self::of(&entries, self.header.has_irregular);
        self.backing = grown.backing;
        self.header.pages = grown.header.pages;
        self.header.has_irregular = grown.header.has_irregular;
        Ok(())
    }
}

/// Distributes entries over at least `count` pages, with more pages until all fit. Returns whether they all did.
fn distribute(entries: &[Entry], mut count: u32) -> (Vec<Page>, bool) {
    loop {
        let mut pages: Vec<_> = (0..count).map(|place| Page::empty(u64::from(place))).collect();
        let mut all_fit = true;
        for entry in entries {
            // The mask leaves a number of a page.
            #[allow(clippy::cast_possible_truncation)]
            let place = (entry.key & u64::from(count - 1)) as usize;
            all_fit &= pages[place].insert(*entry);
        }
        if all_fit || count as usize * FEWEST_PER_PAGE > entries.len() {
            return (pages, all_fit);
        }
        count *= 2;
    }
}
