//! Masquerading of pods with nf_tables, in messages of our own: no `nft`, no `iptables`. Also what else is
//! done in nf_tables: the check of source addresses in [`spoof`], [`leftovers`] of other tools.
//!
//! What `nft list table inet weir` shows for a pod 10.88.0.5/16 of network `podnet`:
//!
//! ```text
//! table inet weir {
//!     set attachments {                  # key: digest of the owner
//!         type mark . mark . mark . mark
//!         elements = { 0x0f… . 0x1a… . 0x93… . 0x4c… comment "podnet/3fd…/eth0" }
//!     }
//!     map owners {                       # address: digest of the owner . prefix length
//!         type ipv6_addr : mark . mark . mark . mark . mark
//!         elements = { ::ffff:10.88.0.5 : 0x0f… . 0x1a… . 0x93… . 0x4c… . 0x00000010 }
//!     }
//!     map subnets-ipv4-16 {              # one per prefix length in use
//!         type ipv4_addr : verdict
//!         elements = { 10.88.0.0 : jump from-10.88.0.0/16 }
//!     }
//!     set pods-10.88.0.0/16 {            # one per subnet
//!         type ipv4_addr
//!         elements = { 10.88.0.5 comment "podnet/3fd…/eth0" }
//!     }
//!     chain from-10.88.0.0/16 {          # one per subnet
//!         ip saddr @pods-10.88.0.0/16 ip daddr != 10.88.0.0/16 ip daddr != 224.0.0.0/4 masquerade
//!     }
//!     chain postrouting {
//!         type nat hook postrouting priority srcnat; policy accept;
//!         ip saddr & 255.255.0.0 vmap @subnets-ipv4-16
//!     }
//! }
//! ```
//!
//! - A packet costs one lookup per prefix length in use and one in its subnet's set; adding or removing a pod
//!   touches one element of each set. Neither depends on how many pods, networks or subnets there are. (A
//!   verdict map with one `jump` per pod would not do: the kernel walks the whole map at each addition, to
//!   find loops.)
//! - An attachment's element carries its addresses in user data, so that removing it needs nothing but its
//!   owner: no namespace, no earlier result, no dump.
//! - `owners` says whose an address is, and is how a transaction makes sure of it: see
//!   [`objects::add_element`]. No generation number has to be read and no transaction is repeated because an
//!   unrelated one came in between.
//! - The table, and what belongs to a subnet, stay when their last pod goes.
//! - An addition that finds its sets takes the rules for granted: nothing in a transaction asks for a rule without
//!   changing it, and a question of its own would cost every pod a message. So after `nft flush table inet weir`,
//!   which takes the rules and leaves the sets, only a check tells. What is deleted whole is made anew.

mod attributes;
mod batch;
mod check;
mod expressions;
mod forward;
mod forwarded;
mod idle_chain;
mod leftovers;
mod masquerade;
mod objects;
mod owner;
mod probe;
mod records;
mod rules;
mod skeleton;
mod spoof;
mod subnet;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;

use self::attributes::Attributes;
use self::batch::{Batch, FAMILY_HEADER_LEN};
use self::objects::{Element, NFT_MSG_GETSETELEM};
use linux::netlink::{Failure, Reply, Socket};
use linux::{Error, Feature, Result};

pub use self::check::{Attachment, MasqueradeFault};
pub use self::forward::Traffic;
pub use self::forwarded::Forward;
pub use self::idle_chain::IdleChain;
pub use self::leftovers::Leftover;
pub use self::owner::Owner;
pub use self::spoof::SpoofCheckFault;
pub use self::table::{Table, TableFamily};

/// A `NETLINK_NETFILTER` socket of the network namespace that was current when it was opened.
///
/// # Dropping it late saves time
/// What a transaction removed is freed after an RCU grace period, and closing *any* nf_tables socket of the
/// namespace waits for that: some ten milliseconds, with every other transaction waiting too. So after
/// [`Nftables::remove_masquerade`] keep this value, delete the devices (which waits for grace periods of its
/// own), and drop it then: the waits overlap and closing finds nothing left to wait for.
pub struct Nftables {
    socket: Socket,
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

    /// Sends one transaction and waits for its outcome.
    fn transact(&mut self, batch: Batch) -> std::result::Result<(), Failed> {
        let (bytes, first, last) = batch.seal(|| self.socket.next_sequence());
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
    /// missing or stand there twice.
    fn read(
        &mut self,
        table: Table,
        kind: u16,
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

    /// Reads one element of a set; `None` when the element, its set or the table is not there.
    fn element<T>(
        &mut self,
        table: Table,
        set: &str,
        key: &[u8],
        read: impl Fn(Element<'_>) -> T,
    ) -> std::result::Result<Option<T>, Failed> {
        let mut found = None;
        let outcome = self.read(
            table,
            NFT_MSG_GETSETELEM,
            0,
            |request| objects::element(request, set, key, objects::Data::None, &[]),
            |reply| found = Element::each(reply).next().map(&read),
        );
        match outcome {
            Err(failed) if failed.is(Errno::ENOENT) => Ok(None),
            outcome => outcome.map(|()| found),
        }
    }

    /// Reads all elements of a set, as far as `read` knows them; none when there is no set, no table or no
    /// nf_tables. While others add and remove, one may be missing or come twice.
    fn elements<T>(
        &mut self,
        table: Table,
        set: &str,
        read: impl Fn(Element<'_>) -> Option<T>,
    ) -> std::result::Result<Vec<T>, Failed> {
        let mut found = Vec::new();
        let outcome = self.read(
            table,
            NFT_MSG_GETSETELEM,
            NLM_F_DUMP,
            |request| objects::element(request, set, &[], objects::Data::None, &[]),
            |reply| found.extend(Element::each(reply).filter_map(&read)),
        );
        match outcome {
            Err(failed) if failed.is(Errno::ENOENT) || failed.is_missing_subsystem() => Ok(Vec::new()),
            Err(failed) if !failed.is(Errno::EINTR) => Err(failed),
            _ => Ok(found),
        }
    }
}

/// A request or a transaction that failed, and at which of its messages.
#[derive(Debug)]
struct Failed {
    failure: Failure,
    /// Index in the batch; 0 is the batch as a whole.
    message: usize,
}

impl Failed {
    fn is(&self, errno: Errno) -> bool {
        self.failure.errno() == Some(errno)
    }

    /// An element is there already, or (without `NLM_F_EXCL`) with other data: `EEXIST`, in older kernels
    /// `EBUSY`.
    fn is_conflict(&self) -> bool {
        self.is(Errno::EEXIST) || self.is(Errno::EBUSY)
    }

    /// The answer to a read where nothing handles nf_tables messages (nfnetlink.c).
    fn is_missing_subsystem(&self) -> bool {
        self.is(Errno::EINVAL) || self.is(Errno::EOPNOTSUPP)
    }

    fn during(self, operation: fmt::Arguments<'_>) -> Error {
        self.failure.during(operation)
    }
}

fn unsettled(operation: fmt::Arguments<'_>, table: Table) -> Error {
    Error::Unsettled { operation: operation.to_string(), object: format!("nf_tables table {table}") }
}
