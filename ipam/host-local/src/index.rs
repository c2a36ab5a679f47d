//! The index beside the reservations, which lets ADD, DEL and CHECK work without reading the directory.
//!
//! The reservations are authoritative. The index is one more file, `.index`, which may be removed at any time. It has
//! the addresses of each attachment (in pages, found by a hash of the holder) and a bit for each reserved address (in
//! blocks). Both are read and changed in place, so a call costs the same with ten addresses and with ten thousand.
//!
//! It is trusted only while nothing contradicts it:
//!
//! - Its header has the boot ID and the directory's [`Stamp`] from when the index was last right. Every program or
//!   person that adds or removes a name changes the directory's times. A call that is killed has not written the new
//!   stamp. A power loss, after which file and directory may be of different age, comes with another boot. In each case
//!   the index is rebuilt.
//! - Header, pages and blocks have checksums.
//! - An address that it has for an attachment counts only after its file was read and agrees. An address that it has as
//!   free is reserved by creating the file, which fails if there is one. Where they differ, the index is rebuilt. That
//!   no address is free is believed only of a rebuilt index.
//!
//! A reservation whose text was changed in place, without a new name in the directory, is noticed only when its address
//! is next read: by GC, by an audit, or when it is released.
//!
//! Rebuilding reads the names, and those files that are new or changed (by their `ctime`) since the index was right.
//! Symbolic links named by a hash would need no format, but each costs a kernel object, they double the names that the
//! reference reads, and they do not show which address is free.

mod backing;
mod blocks;
mod build;
mod checksum;
mod header;
mod page;

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use crate::holder::Holder;
use crate::stamp::Stamp;

pub(crate) use page::Entry;

use backing::Backing;
use blocks::{BLOCK, BLOCKS, Block, block_of, next_block};
use header::{HEADER, Header, boot_id};
use page::{PAGE, Page, narrow, wide};

const NAME: &str = ".index";
/// A new index is written here before it gets its name.
const UNFINISHED: &str = ".index.new";
const FIRST_PAGE: usize = HEADER + BLOCKS * BLOCK;

/// The index of a directory. Its owner has the directory's lock.
pub(crate) struct Index {
    backing: Backing,
    header: Header,
    /// The blocks that were read, by their position.
    blocks: Vec<Option<Block>>,
    /// Whether the directory or the index differs from what the file's header says.
    pub(crate) is_changed: bool,
}

/// The next free address, as far as the index knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vacancy {
    /// This is the first free address.
    Free(IpAddr),
    /// The index does not know whether this address is free.
    Unknown(IpAddr),
    /// Every address is reserved.
    None,
}

impl Index {
    /// Opens the index of `directory`, and returns whether it is right. A wrong one still helps to rebuild it.
    pub(crate) fn open(directory: &Path) -> Option<(Self, bool)> {
        let backing = Backing::open(&directory.join(NAME)).ok()?;
        let mut bytes = [0; HEADER];
        backing.read(0, &mut bytes).ok()?;
        let header = Header::decode(&bytes)?;
        let length = FIRST_PAGE as u64 + u64::from(header.pages) * PAGE as u64;
        if backing.length().ok()? != length || boot_id()? != header.boot {
            return None;
        }
        let is_right = Stamp::of(directory).ok()? == header.stamp;
        let blocks = header.blocks.iter().map(|_| None).collect();
        Some((Self { backing, header, blocks, is_changed: false }, is_right))
    }

    /// Removes the index of `directory`. The next call that needs it rebuilds it.
    pub(crate) fn remove_from(directory: &Path) {
        // One that stays is not trusted: the directory has changed.
        for name in [NAME, UNFINISHED] {
            let _ = fs::remove_file(directory.join(name));
        }
    }

    /// Returns whether there are reservations that [`Index::find`] does not find.
    pub(crate) fn has_irregular(&self) -> bool {
        self.header.has_irregular
    }

    /// Returns the entries with this key.
    pub(crate) fn find(&self, key: u64) -> io::Result<Vec<Entry>> {
        let page = self.page(self.place_of(key))?;
        Ok(page.entries().filter(|entry| entry.key == key).collect())
    }

    /// Adds an address with the key of its holder; an unknown holder has none.
    pub(crate) fn insert(&mut self, address: IpAddr, key: Option<u64>, changed: i64) -> io::Result<()> {
        self.is_changed = true;
        self.mark(address, true)?;
        let Some(key) = key else { return Ok(()) };
        let entry = Entry { key, address, changed };
        let place = self.place_of(key);
        let mut page = self.page(place)?;
        if page.insert(entry) { self.write_page(place, &mut page) } else { self.grow(entry) }
    }

    /// Removes an address.
    pub(crate) fn remove(&mut self, address: IpAddr, key: Option<u64>) -> io::Result<()> {
        self.is_changed = true;
        self.mark(address, false)?;
        let Some(key) = key else { return Ok(()) };
        let place = self.place_of(key);
        let mut page = self.page(place)?;
        if page.remove(key, address) { self.write_page(place, &mut page) } else { Ok(()) }
    }

    /// Returns the first free address from `from` to `to`, both of one family.
    pub(crate) fn first_free(&mut self, from: IpAddr, to: IpAddr) -> io::Result<Vacancy> {
        let (mut candidate, last) = (wide(from), wide(to));
        while candidate <= last {
            let Some(place) = self.block_place(candidate) else {
                let candidate = narrow(candidate);
                let is_known = !self.header.has_unblocked;
                return Ok(if is_known { Vacancy::Free(candidate) } else { Vacancy::Unknown(candidate) });
            };
            if let Some(free) = self.block(place)?.first_free(candidate).filter(|free| *free <= last) {
                return Ok(Vacancy::Free(narrow(free)));
            }
            let Some(next) = next_block(candidate) else { break };
            candidate = next;
        }
        Ok(Vacancy::None)
    }

    /// Writes the changes to the file, with the present stamp of `directory`.
    ///
    /// # Errors
    /// The system's; the file is not trusted then.
    pub(crate) fn commit(&mut self, directory: &Path) -> io::Result<()> {
        self.write_blocks()?;
        if let Backing::Memory(bytes) = &self.backing {
            // Its header is empty: it is not valid before the stamp is written.
            let blocks = HEADER..HEADER + self.blocks.len() * BLOCK;
            let parts = [0..HEADER, blocks, FIRST_PAGE..bytes.len()].map(|part| (part.start, &bytes[part]));
            self.backing = write_whole(directory, bytes.len() as u64, &parts)?;
        }
        self.header.stamp = Stamp::settle(directory)?;
        self.backing.write(0, &self.header.encode())?;
        self.is_changed = false;
        Ok(())
    }

    fn write_blocks(&mut self) -> io::Result<()> {
        for (place, block) in self.blocks.iter_mut().enumerate() {
            if let Some(block) = block.as_mut().filter(|block| block.is_changed) {
                let (bytes, sum) = block.sealed(place);
                self.backing.write(HEADER + place * BLOCK, &bytes)?;
                self.header.blocks[place].1 = sum;
                block.is_changed = false;
            }
        }
        Ok(())
    }

    fn mark(&mut self, address: IpAddr, held: bool) -> io::Result<()> {
        let wide = wide(address);
        let place = match self.block_place(wide) {
            Some(place) => place,
            None if !held => return Ok(()),
            None if self.blocks.len() == BLOCKS => {
                self.header.has_unblocked = true;
                return Ok(());
            }
            None => {
                self.header.blocks.push((block_of(wide), 0));
                self.blocks.push(Some(Block::empty()));
                self.blocks.len() - 1
            }
        };
        self.block(place)?.set(wide, held);
        Ok(())
    }

    fn block_place(&self, wide: u128) -> Option<usize> {
        self.header.blocks.iter().position(|(block, _)| *block == block_of(wide))
    }

    fn block(&mut self, place: usize) -> io::Result<&mut Block> {
        let block = match self.blocks[place].take() {
            Some(block) => block,
            None => {
                let mut bytes = vec![0; BLOCK];
                self.backing.read(HEADER + place * BLOCK, &mut bytes)?;
                Block::read(place, &bytes, self.header.blocks[place].1).ok_or(io::ErrorKind::InvalidData)?
            }
        };
        Ok(self.blocks[place].insert(block))
    }

    fn place_of(&self, key: u64) -> u32 {
        // The mask leaves no more bits than the number of pages has.
        #[allow(clippy::cast_possible_truncation)]
        let place = (key & u64::from(self.header.pages - 1)) as u32;
        place
    }

    fn page(&self, place: u32) -> io::Result<Page> {
        let mut bytes = [0; PAGE];
        self.backing.read(FIRST_PAGE + place as usize * PAGE, &mut bytes)?;
        Page::read(u64::from(place), bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn write_page(&mut self, place: u32, page: &mut Page) -> io::Result<()> {
        self.backing.write(FIRST_PAGE + place as usize * PAGE, page.sealed())
    }
}

/// Overwrites an existing index of the same length, whose space on the disk is allocated; otherwise creates a new one.
fn write_whole(directory: &Path, length: u64, parts: &[(usize, &[u8])]) -> io::Result<Backing> {
    let path = directory.join(NAME);
    if let Ok(mut older) = Backing::open(&path)
        && older.length()? == length
    {
        parts.iter().try_for_each(|(offset, part)| older.write(*offset, part))?;
        return Ok(older);
    }
    let unfinished = directory.join(UNFINISHED);
    let mut backing = Backing::create(&unfinished, length)?;
    parts.iter().try_for_each(|(offset, part)| backing.write(*offset, part))?;
    // ext4 writes a file to the disk that is renamed over another.
    let _ = fs::remove_file(&path);
    fs::rename(&unfinished, &path)?;
    Ok(backing)
}

impl Holder {
    /// Returns the key of the holder's addresses. Two holders may have the same key.
    pub(crate) fn key(&self) -> Option<u64> {
        match self {
            Self::Attachment { container_id, interface } => Some(key_of_attachment(container_id, interface)),
            Self::Container { container_id } => Some(key_of_container(container_id)),
            Self::Unknown | Self::Empty => None,
        }
    }
}

/// Returns the key of an attachment's addresses.
pub(crate) fn key_of_attachment(container_id: &str, interface: &str) -> u64 {
    checksum::hash(&[container_id.as_bytes(), b"\r\n", interface.as_bytes()]).max(1)
}

/// Returns the key of the addresses that a container has for every interface.
pub(crate) fn key_of_container(container_id: &str) -> u64 {
    checksum::hash(&[container_id.as_bytes()]).max(1)
}

#[cfg(test)]
mod tests;
