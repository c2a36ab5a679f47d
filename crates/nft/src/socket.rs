//! The socket: transactions, and what is read outside of them.

use std::fmt;

use linux::netlink::{Failure, Reply, Socket};
use linux::{Error, Feature, Result};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;
use nix::libc;

use crate::attributes::{Attributes, find, string, text};
use crate::batch::{self, Batch, FAMILY_HEADER_LEN};
use crate::constants::{
    NFT_TABLE_F_DORMANT, NFTA_CHAIN_HANDLE, NFTA_CHAIN_HOOK, NFTA_CHAIN_NAME, NFTA_CHAIN_TABLE,
    NFTA_SET_NAME, NFTA_TABLE_FLAGS,
};
use crate::element::{Element, FoundElement, list_all, list_range};
use crate::table::Table;

/// A `NETLINK_NETFILTER` socket of the network namespace that was current when it was opened.
///
/// # Dropping it late saves time
/// What a transaction deleted is freed after an RCU grace period, and closing *any* nf_tables socket of the namespace
/// waits for that: some ten milliseconds, with every other transaction waiting too. So after a deletion keep this value,
/// delete the devices (which waits for grace periods of its own), and drop it then: the waits overlap and closing finds
/// nothing left to wait for. A refused transaction and a dry run wait as well.
pub struct Nftables {
    socket: Socket,
}

/// A base chain that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseChain {
    /// Its name.
    pub name: String,
    /// Its number, which is never used again.
    pub handle: u64,
}

impl Nftables {
    /// Opens a socket in the current namespace.
    ///
    /// # Errors
    /// [`Error::MissingFeature`] when the kernel has no netfilter netlink at all, [`Error::Netlink`] when it
    /// gives no socket for another reason.
    pub fn open() -> Result<Self> {
        match Socket::open(NETLINK_NETFILTER) {
            Ok(socket) => Ok(Self { socket }),
            Err(Error::Netlink { operation, source })
                if source.raw_os_error() == Some(Errno::EPROTONOSUPPORT as i32) =>
            {
                Err(Error::MissingFeature { operation, feature: Feature::NftablesNat })
            }
            Err(error) => Err(error),
        }
    }

    /// Sends one transaction and waits for its outcome: all of it happens, or nothing.
    ///
    /// The effect of `nft -f`.
    ///
    /// # Errors
    /// What the kernel says, and at which message.
    pub fn transact(&mut self, batch: Batch) -> std::result::Result<(), Failed> {
        self.send(batch, true)
    }

    /// Has the kernel check a transaction; nothing of it happens.
    ///
    /// The effect of `nft --check -f`.
    ///
    /// # Errors
    /// What the kernel says, and at which message.
    pub fn dry_run(&mut self, batch: Batch) -> std::result::Result<(), Failed> {
        self.send(batch, false)
    }

    fn send(&mut self, batch: Batch, commits: bool) -> std::result::Result<(), Failed> {
        let (bytes, first, last) = batch.seal(commits, || self.socket.next_sequence());
        self.socket.exchange(&bytes, first, last, |_| {}).map_err(|failure| {
            let message = match &failure {
                Failure::Refused(refusal) => refusal.sequence.wrapping_sub(first) as usize,
                Failure::Io(_) => 0,
            };
            Failed { failure, message }
        })
    }

    /// Sends one request outside a transaction, for one object or, with `NLM_F_DUMP`, for many, and hands each reply's
    /// attributes to `on_reply`. `EINTR` means that a transaction was committed during a dump: something may be
    /// missing or appear twice.
    pub(crate) fn read(
        &mut self,
        table: Table,
        kind: i32,
        flags: u16,
        content: impl FnOnce(&mut Attributes<'_>),
        mut on_reply: impl FnMut(&[u8]),
    ) -> std::result::Result<(), Failed> {
        let sequence = self.socket.next_sequence();
        let bytes = batch::request(table, kind, NLM_F_REQUEST | flags, sequence, content);
        let on_reply = |reply: Reply<'_>| {
            on_reply(reply.payload.get(FAMILY_HEADER_LEN..).unwrap_or_default());
        };
        let outcome = match flags & NLM_F_DUMP {
            0 => self.socket.ask(&bytes, sequence, on_reply),
            _ => self.socket.exchange(&bytes, sequence, sequence, on_reply),
        };
        outcome.map_err(|failure| Failed { failure, message: 0 })
    }

    /// Reads one element of a set; returns `None` when the element, its set or the table is not there.
    ///
    /// The effect of `nft get element TABLE SET { KEY }`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn element<T>(
        &mut self,
        table: Table,
        set: &str,
        key: &[u8],
        read: impl Fn(FoundElement<'_>) -> T,
    ) -> std::result::Result<Option<T>, Failed> {
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

    /// Reads all elements of a set, as far as `read` knows them; none when there is no set, no table or no nf_tables.
    /// While others add and delete, one may be missing or appear twice.
    ///
    /// The effect of `nft list set TABLE SET`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn elements<T>(
        &mut self,
        table: Table,
        set: &str,
        read: impl Fn(FoundElement<'_>) -> Option<T>,
    ) -> std::result::Result<Vec<T>, Failed> {
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
    /// What the kernel says.
    pub fn has_chain(&mut self, table: Table, name: &str) -> std::result::Result<bool, Failed> {
        self.exists(table, libc::NFT_MSG_GETCHAIN, NFTA_CHAIN_NAME, name)
    }

    /// Returns whether the table has a set or a map of this name.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn has_set(&mut self, table: Table, name: &str) -> std::result::Result<bool, Failed> {
        self.exists(table, libc::NFT_MSG_GETSET, NFTA_SET_NAME, name)
    }

    fn exists(
        &mut self,
        table: Table,
        kind: i32,
        attribute: u16,
        name: &str,
    ) -> std::result::Result<bool, Failed> {
        match self.read(table, kind, 0, |request| request.text(attribute, name), |_| {}) {
            // The latter: a name longer than any can be.
            Err(failed) if failed.is(Errno::ENOENT) || failed.is(Errno::ERANGE) => Ok(false),
            outcome => outcome.map(|()| true),
        }
    }

    /// Returns whether the table is dormant, so that none of its chains is entered (`flags dormant`).
    ///
    /// # Errors
    /// What the kernel says.
    pub fn is_dormant(&mut self, table: Table) -> std::result::Result<bool, Failed> {
        let mut dormant = false;
        let on_reply = |table: &[u8]| {
            let flags = find(table, NFTA_TABLE_FLAGS).and_then(|flags| flags.try_into().ok());
            dormant = flags.map_or(0, u32::from_be_bytes) & NFT_TABLE_F_DORMANT != 0;
        };
        match self.read(table, libc::NFT_MSG_GETTABLE, 0, |_| {}, on_reply) {
            Err(failed) if failed.is(Errno::ENOENT) || failed.is_missing_subsystem() => Ok(false),
            outcome => outcome.map(|()| dormant),
        }
    }

    /// Returns the base chains of a table; none when there is no table or no nf_tables. While others add and delete, one
    /// may be missing.
    ///
    /// The effect of `nft -a list chains FAMILY`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn base_chains(&mut self, table: Table) -> std::result::Result<Vec<BaseChain>, Failed> {
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

/// A request or a transaction that failed, and at which of its messages.
#[derive(Debug)]
pub struct Failed {
    failure: Failure,
    message: usize,
}

impl Failed {
    /// Returns the index in the batch of the message that was refused; 0 is the batch as a whole.
    pub fn message(&self) -> usize {
        self.message
    }

    /// Returns whether the kernel refused with this number.
    pub fn is(&self, errno: Errno) -> bool {
        self.failure.errno() == Some(errno)
    }

    /// Returns whether an element is there already, or (when it was to be added rather than created) has other data:
    /// `EEXIST`, in older kernels `EBUSY`.
    pub fn is_conflict(&self) -> bool {
        self.is(Errno::EEXIST) || self.is(Errno::EBUSY)
    }

    /// Returns whether nothing handles nf_tables messages (nfnetlink.c): so it answers a read.
    pub fn is_missing_subsystem(&self) -> bool {
        self.is(Errno::EINVAL) || self.is(Errno::EOPNOTSUPP)
    }

    /// The error of what was to be done, as "verb object".
    pub fn during(self, operation: fmt::Arguments<'_>) -> Error {
        self.failure.during(operation)
    }

    /// As [`Failed::during`], for a transaction in which all that the messages name is declared before them: `ENOENT` is
    /// an unknown chain type or expression, `EOPNOTSUPP` and `EAFNOSUPPORT` no nf_tables or an unknown family.
    pub fn missing(self, feature: Feature, operation: fmt::Arguments<'_>) -> Error {
        self.during(operation).or_missing(feature, &[Errno::ENOENT, Errno::EOPNOTSUPP, Errno::EAFNOSUPPORT])
    }
}

/// The error of a transaction that others got in the way of, time after time.
pub fn unsettled(operation: fmt::Arguments<'_>, table: Table) -> Error {
    Error::Other(format!(
        "cannot {operation}: nf_tables table {table} is incomplete, or others changed it again and again for seconds"
    ))
}

#[cfg(test)]
mod tests {
    use linux::netlink::Refusal;

    use super::*;

    #[test]
    fn a_kernel_without_tables_for_bridges_is_told_by_its_option() {
        let refusal = Refusal { errno: Errno::EOPNOTSUPP, message: None, sequence: 1 };
        let failed = Failed { failure: Failure::Refused(refusal), message: 1 };
        let error = failed.missing(Feature::NftablesBridge, format_args!("create a table"));
        assert!(error.to_string().contains("CONFIG_NF_TABLES_BRIDGE"));
    }
}
