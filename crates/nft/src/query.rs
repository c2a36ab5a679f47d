//! Reading a table, outside of transactions.

use netlink_packet_core::NLM_F_DUMP;
use nix::errno::Errno;
use nix::libc;

use crate::attributes::{find, string, text};
use crate::constants::*;
use crate::element::{Element, FoundElement, list_all, list_range};
use crate::socket::{Nftables, Result};
use crate::table::Table;

/// A base chain as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseChain {
    /// Its name.
    pub name: String,
    /// Its handle, which is never reused.
    pub handle: u64,
}

impl Nftables {
    /// Reads one element of a set. Returns `None` if the element, its set or the table does not exist.
    ///
    /// Equivalent to `nft get element TABLE SET { KEY }`.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn element<T>(
        &mut self,
        table: Table,
        set: &str,
        key: &[u8],
        read: impl Fn(FoundElement<'_>) -> T,
    ) -> Result<Option<T>> {
        let mut found = None;
        let outcome = self.read(
            table,
            libc::NFT_MSG_GETSETELEM,
            0,
            |request| list_range(request, &Element::new(set, key), None),
            |reply| found = FoundElement::each(reply).next().map(&read),
        );
        match outcome {
            Err(failed) if failed.is(Errno::ENOENT) => Ok(None),
            outcome => outcome.map(|()| found),
        }
    }

    /// Reads the elements of a set for which `read` returns something; none if there is no set, no table or no nf_tables.
    /// While others add and delete, an element may be missing or appear twice.
    ///
    /// Equivalent to `nft list set TABLE SET`.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn elements<T>(
        &mut self,
        table: Table,
        set: &str,
        read: impl Fn(FoundElement<'_>) -> Option<T>,
    ) -> Result<Vec<T>> {
        let mut found = Vec::new();
        let outcome = self.read(
            table,
            libc::NFT_MSG_GETSETELEM,
            NLM_F_DUMP,
            |request| list_all(request, set),
            |reply| found.extend(FoundElement::each(reply).filter_map(&read)),
        );
        match outcome {
            Err(failed) if failed.is(Errno::ENOENT) || failed.is_missing_subsystem() => Ok(Vec::new()),
            Err(failed) if !failed.is(Errno::EINTR) => Err(failed),
            _ => Ok(found),
        }
    }

    /// Returns whether the table has a chain of this name.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn has_chain(&mut self, table: Table, name: &str) -> Result<bool> {
        self.exists(table, libc::NFT_MSG_GETCHAIN, NFTA_CHAIN_NAME, name)
    }

    /// Returns whether the table has a set or a map of this name.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn has_set(&mut self, table: Table, name: &str) -> Result<bool> {
        self.exists(table, libc::NFT_MSG_GETSET, NFTA_SET_NAME, name)
    }

    fn exists(&mut self, table: Table, kind: i32, attribute: u16, name: &str) -> Result<bool> {
        match self.read(table, kind, 0, |request| request.text(attribute, name), |_| {}) {
            // `ERANGE`: the name is longer than any name can be.
            Err(failed) if failed.is(Errno::ENOENT) || failed.is(Errno::ERANGE) => Ok(false),
            outcome => outcome.map(|()| true),
        }
    }

    /// Returns whether the table is dormant: the kernel enters none of its chains (`flags dormant`). None if there
    /// is no such table.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn is_dormant(&mut self, table: Table) -> Result<Option<bool>> {
        let mut dormant = false;
        let on_reply = |table: &[u8]| {
            let flags = find(table, NFTA_TABLE_FLAGS).and_then(|flags| flags.try_into().ok());
            dormant = flags.map_or(0, u32::from_be_bytes) & NFT_TABLE_F_DORMANT != 0;
        };
        match self.read(table, libc::NFT_MSG_GETTABLE, 0, |_| {}, on_reply) {
            Err(failed) if failed.is(Errno::ENOENT) || failed.is_missing_subsystem() => Ok(None),
            outcome => outcome.map(|()| Some(dormant)),
        }
    }

    /// Returns the base chains of a table; none if there is no table or no nf_tables. While others add and delete, one may
    /// be missing.
    ///
    /// Equivalent to `nft -a list chains FAMILY`.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn base_chains(&mut self, table: Table) -> Result<Vec<BaseChain>> {
        let mut chains = Vec::new();
        // The kernel lists those of the whole family.
        let on_reply = |chain: &[u8]| {
            let is_of_table = find(chain, NFTA_CHAIN_TABLE).map(text) == Some(table.name.as_bytes());
            let has_hook = find(chain, NFTA_CHAIN_HOOK).is_some();
            let handle = find(chain, NFTA_CHAIN_HANDLE).and_then(|handle| handle.try_into().ok());
            let name = find(chain, NFTA_CHAIN_NAME).map(string);
            if let (true, Some(name), Some(handle)) = (is_of_table && has_hook, name, handle) {
                chains.push(BaseChain { name, handle: u64::from_be_bytes(handle) });
            }
        };
        match self.read(table, libc::NFT_MSG_GETCHAIN, NLM_F_DUMP, |_| {}, on_reply) {
            Err(failed) if failed.is(Errno::ENOENT) || failed.is_missing_subsystem() => Ok(Vec::new()),
            Err(failed) if !failed.is(Errno::EINTR) => Err(failed),
            _ => Ok(chains),
        }
    }
}
