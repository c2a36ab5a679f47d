//! The storage of the index: its file, or memory until it is written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::file;

/// The bytes of an index.
pub(super) enum Backing {
    /// Not written yet, or not writable.
    Memory(Vec<u8>),
    File(File),
}

impl Backing {
    /// Opens the file at `path` for reading and writing.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        file::open(path).map(Self::File)
    }

    /// Creates a file of `length` zeros at `path`.
    pub(super) fn create(path: &Path, length: u64) -> io::Result<Self> {
        let file = file::create(path)?;
        file.set_len(length)?;
        Ok(Self::File(file))
    }

    pub(super) fn length(&self) -> io::Result<u64> {
        match self {
            Self::Memory(bytes) => Ok(bytes.len() as u64),
            Self::File(file) => Ok(file.metadata()?.len()),
        }
    }

    pub(super) fn read(&self, offset: usize, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Memory(bytes) => {
                let part = bytes.get(offset..offset + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
                buffer.copy_from_slice(part);
                Ok(())
            }
            Self::File(file) => file.read_exact_at(buffer, offset as u64),
        }
    }

    pub(super) fn write(&mut self, offset: usize, part: &[u8]) -> io::Result<()> {
        match self {
            Self::Memory(bytes) => {
                let place = bytes.get_mut(offset..offset + part.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
                place.copy_from_slice(part);
                Ok(())
            }
            Self::File(file) => file.write_all_at(part, offset as u64),
        }
    }
}
