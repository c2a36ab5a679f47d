//! The socket: transactions and requests, and how they fail.

use std::fmt;

use linux::netlink::{Failure, Reply, Socket};
use linux::{Error, Feature};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;

use crate::attributes::Attributes;
use crate::batch::{self, Batch, FAMILY_HEADER_LEN};
use crate::table::Table;

/// A `NETLINK_NETFILTER` socket of the network namespace that was current when it was opened.
///
/// # Dropping it late saves time
/// The kernel frees deleted objects after an RCU grace period, and closing *any* nf_tables socket of the namespace waits
/// for that: some ten milliseconds, in which every other transaction waits too. So after a deletion keep this value, delete
/// the devices (which waits for grace periods of its own), and then drop it: the waits overlap. A refused transaction and
/// a dry run cause such a wait as well.
pub struct Nftables {
    socket: Socket,
}

impl Nftables {
    /// Opens a socket in the current namespace.
    ///
    /// # Errors
    /// [`Error::MissingFeature`] when the kernel has no netfilter netlink at all, [`Error::Netlink`] when it
    /// gives no socket for another reason.
    pub fn open() -> linux::Result<Self> {
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

    /// Sends one transaction and waits for its outcome. All of it happens, or nothing.
    ///
    /// Equivalent to `nft -f`.
    ///
    /// # Errors
    /// The kernel's refusal, with the message that it refused.
    pub fn transact(&mut self, batch: Batch) -> Result<()> {
        self.send(batch, true, |_| {})
    }

    /// Has the kernel check a transaction without carrying it out.
    ///
    /// Equivalent to `nft --check -f`.
    ///
    /// # Errors
    /// The kernel's refusal, with the message that it refused.
    pub fn dry_run(&mut self, batch: Batch) -> Result<()> {
        self.send(batch, false, |_| {})
    }

    /// Hands what the kernel echoes to `on_reply`.
    pub(crate) fn send(
        &mut self,
        batch: Batch,
        commits: bool,
        on_reply: impl FnMut(Reply<'_>),
    ) -> Result<()> {
        let (bytes, first, last) = batch.seal(commits, || self.socket.next_sequence());
        self.socket.exchange(&bytes, first, last, on_reply).map_err(|failure| {
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
    ) -> Result<()> {
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
}

/// Result of a transaction or a request.
pub type Result<T> = std::result::Result<T, Failed>;

/// A request or a transaction that failed, with the message that was refused.
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

    /// Returns whether an element exists: one that was to be created, or one with other data that was to be added.
    /// `EEXIST`, in older kernels `EBUSY`.
    pub fn is_conflict(&self) -> bool {
        self.is(Errno::EEXIST) || self.is(Errno::EBUSY)
    }

    /// Returns whether the kernel has no nf_tables: so it answers a read (nfnetlink.c).
    pub fn is_missing_subsystem(&self) -> bool {
        self.is(Errno::EINVAL) || self.is(Errno::EOPNOTSUPP)
    }

    /// Returns the error. `operation` is what was to be done, as "verb object".
    pub fn during(self, operation: fmt::Arguments<'_>) -> Error {
        self.failure.during(operation)
    }

    /// As [`Failed::during`], for a transaction that names only objects that it creates: `ENOENT` is an unknown chain type
    /// or expression, `EOPNOTSUPP` and `EAFNOSUPPORT` no nf_tables or an unknown family.
    pub fn missing(self, feature: Feature, operation: fmt::Arguments<'_>) -> Error {
        self.during(operation).or_missing(feature, &[Errno::ENOENT, Errno::EOPNOTSUPP, Errno::EAFNOSUPPORT])
    }
}

/// Returns the error of a transaction that conflicts with others again and again.
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
