//! One transaction: messages that the kernel carries out all together or not at all.

use linux::netlink::HEADER_LEN;
use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST};
use nix::libc;

use crate::attributes::Attributes;
use crate::table::{Table, TableFamily};

/// `NFTA_TABLE_NAME`, `NFTA_CHAIN_TABLE`, `NFTA_RULE_TABLE`, …: every kind of message has its table there.
const TABLE_NAME: u16 = 1;
/// Length of `struct nfgenmsg` (uapi/linux/netfilter/nfnetlink.h).
pub(crate) const FAMILY_HEADER_LEN: usize = 4;

/// Messages that the kernel commits together. They are about one table, or [several](Batch::turn_to).
///
/// The index of a message counts from the begin of the batch, which is message 0. A refusal names the index:
/// [`Failed::message`](crate::Failed::message).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    table: Table,
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Batch {
    /// Creates a batch about this table, without messages.
    pub fn new(table: Table) -> Self {
        let (bytes, starts) = (Vec::with_capacity(2048), Vec::with_capacity(16));
        let mut batch = Self { table, bytes, starts };
        batch.delimiter(libc::NFNL_MSG_BATCH_BEGIN);
        batch
    }

    /// Makes the messages that follow be about another table, of any family.
    pub fn turn_to(&mut self, table: Table) {
        self.table = table;
    }

    pub(crate) fn family(&self) -> TableFamily {
        self.table.family
    }

    /// Appends the message `kind` (`enum nf_tables_msg_types`), whose `content` follows the table's name, and
    /// returns its index.
    pub(crate) fn message(
        &mut self,
        kind: i32,
        flags: u16,
        content: impl FnOnce(&mut Attributes<'_>),
    ) -> usize {
        self.starts.push(self.bytes.len());
        append(&mut self.bytes, self.table, kind, NLM_F_REQUEST | flags, content);
        self.starts.len() - 1
    }

    /// Returns the index of the last message so far; 0 when there is none.
    pub fn last(&self) -> usize {
        self.starts.len() - 1
    }

    /// Returns a number that is unique in the transaction.
    pub(crate) fn next_id(&self) -> u32 {
        u32::try_from(self.starts.len()).unwrap_or(u32::MAX)
    }

    /// Returns the bytes to send, and the first and the acknowledged sequence number. `number` gives the sequence number
    /// of each message in turn; the last one before the end asks for the acknowledgement, because kernels before 6.10
    /// do not acknowledge the end.
    ///
    /// Without an end, the kernel checks every message and undoes them all.
    pub(crate) fn seal(mut self, has_end: bool, mut number: impl FnMut() -> u32) -> (Vec<u8>, u32, u32) {
        let last = self.starts.len() - 1;
        let flags = self.starts[last] + 6;
        let asked = u16::from_ne_bytes([self.bytes[flags], self.bytes[flags + 1]]) | NLM_F_ACK;
        self.bytes[flags..flags + 2].copy_from_slice(&asked.to_ne_bytes());
        if has_end {
            self.delimiter(libc::NFNL_MSG_BATCH_END);
        }
        let numbers: Vec<u32> = self.starts.iter().map(|_| number()).collect();
        for (start, number) in self.starts.iter().zip(&numbers) {
            self.bytes[start + 8..start + 12].copy_from_slice(&number.to_ne_bytes());
        }
        (self.bytes, numbers[0], numbers[last])
    }

    fn delimiter(&mut self, kind: i32) {
        let start = self.bytes.len();
        self.starts.push(start);
        header(&mut self.bytes, kind, NLM_F_REQUEST, [0, 0], libc::NFNL_SUBSYS_NFTABLES);
        finish(&mut self.bytes, start);
    }
}

/// One request outside a transaction: reading from a table.
pub(crate) fn request(
    table: Table,
    kind: i32,
    flags: u16,
    sequence: u32,
    content: impl FnOnce(&mut Attributes<'_>),
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    append(&mut bytes, table, kind, flags, content);
    bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
    bytes
}

fn append(
    bytes: &mut Vec<u8>,
    table: Table,
    kind: i32,
    flags: u16,
    content: impl FnOnce(&mut Attributes<'_>),
) {
    let start = bytes.len();
    header(bytes, libc::NFNL_SUBSYS_NFTABLES << 8 | kind, flags, [table.family as u8, 0], 0);
    let mut attributes = Attributes(bytes);
    attributes.text(TABLE_NAME, table.name);
    content(&mut attributes);
    finish(bytes, start);
}

/// `struct nlmsghdr` with room for length and sequence number, then `struct nfgenmsg`.
fn header(bytes: &mut Vec<u8>, kind: i32, flags: u16, family_and_version: [u8; 2], resource: i32) {
    // Both are constants of 16 bits.
    let short = |number: i32| u16::try_from(number).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&short(kind).to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.resize(bytes.len() + HEADER_LEN - 8, 0);
    bytes.extend_from_slice(&family_and_version);
    bytes.extend_from_slice(&short(resource).to_be_bytes());
}

fn finish(bytes: &mut [u8], start: usize) {
    let length = u32::try_from(bytes.len() - start).unwrap_or(u32::MAX);
    bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}
