//! Sets and maps: the types of their keys and data, and the messages that declare them.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use nix::libc;

use crate::batch::Batch;
use crate::constants::*;
use crate::user_data;

/// The name of an anonymous set, which belongs to one rule: the kernel replaces `%d` by a number.
pub(crate) const ANONYMOUS_SET: &str = "__set%d";

/// The type of one field of a key or of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataType {
    /// `TYPE_*` of nft's datatype.h: `nft` prints the field by it; the kernel only keeps it.
    number: u32,
    /// In bytes.
    length: u32,
    /// Whether the set must tell `nft` that its keys are in the host's byte order.
    in_host_order: bool,
}

impl DataType {
    /// `ipv4_addr`
    pub const IPV4_ADDRESS: Self = Self::new(7, 4);
    /// `ipv6_addr`
    pub const IPV6_ADDRESS: Self = Self::new(8, 16);
    /// `ether_addr`
    pub const HARDWARE_ADDRESS: Self = Self::new(9, 6);
    /// `inet_proto`, one byte: `IPPROTO_*`.
    pub const PROTOCOL: Self = Self::new(12, 1);
    /// `inet_service`: a port, in network order.
    pub const PORT: Self = Self::new(13, 2);
    /// `mark`: four bytes.
    pub const MARK: Self = Self { in_host_order: true, ..Self::new(19, 4) };
    /// `ifname`: 16 bytes, filled up with zeros.
    pub const INTERFACE_NAME: Self = Self { in_host_order: true, ..Self::new(41, 16) };

    const fn new(number: u32, length: u32) -> Self {
        Self { number, length, in_host_order: false }
    }
}

/// The fields of a key or of data, at most five. Each of several (`FIRST . SECOND`) fills whole words of four bytes.
pub type Fields<'a> = &'a [DataType];

/// Returns the type of a concatenation: six bits for each field.
fn number(fields: Fields<'_>) -> u32 {
    fields.iter().fold(0, |number, field| number << 6 | field.number)
}

fn length(fields: Fields<'_>) -> u32 {
    match fields {
        [field] => field.length,
        fields => fields.iter().map(|field| field.length.next_multiple_of(4)).sum(),
    }
}

/// The values of a set's elements.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// Nothing: a plain set.
    None,
    /// A verdict: a map for [`Expressions::decide_by`](crate::Expressions::decide_by).
    Verdict,
    /// Data: a map for [`Expressions::map`](crate::Expressions::map).
    Data(Fields<'a>),
}

/// A set or a map, as `nft add set TABLE NAME { type …; comment "…"; }` describes it.
#[derive(Debug, Clone, Copy)]
pub struct Set<'a> {
    /// Its name, unique in the table; at most 127 bytes.
    pub name: &'a str,
    /// The fields of its keys.
    pub key: Fields<'a>,
    /// The values of its elements.
    pub values: Values<'a>,
    /// Whether its elements may be ranges (`flags interval`).
    pub has_ranges: bool,
    /// The comment that `nft` shows.
    pub comment: &'a str,
}

impl<'a> Set<'a> {
    /// Returns a plain set, without ranges.
    pub fn new(name: &'a str, key: Fields<'a>, comment: &'a str) -> Self {
        Self { name, key, values: Values::None, has_ranges: false, comment }
    }
}

impl Batch {
    /// Adds a set, unless it exists.
    ///
    /// Equivalent to `nft add set`, or `nft add map`.
    pub fn add_set(&mut self, set: &Set<'_>) {
        self.set(0, set);
    }

    /// Adds a set. The kernel refuses the batch with `EEXIST` if the name exists.
    ///
    /// Equivalent to `nft create set`.
    pub fn create_set(&mut self, set: &Set<'_>) {
        self.set(NLM_F_EXCL, set);
    }

    fn set(&mut self, flags: u16, set: &Set<'_>) {
        // Required, and unique in the transaction. Rules use the name.
        let id = self.next_id();
        let mut set_flags = 0;
        if !matches!(set.values, Values::None) {
            set_flags |= libc::NFT_SET_MAP.cast_unsigned();
        }
        if set.has_ranges {
            set_flags |= libc::NFT_SET_INTERVAL.cast_unsigned();
        }
        let has_ranges_of_several = set.has_ranges && set.key.len() > 1;
        if has_ranges_of_several {
            set_flags |= NFT_SET_CONCAT;
        }
        self.message(libc::NFT_MSG_NEWSET, NLM_F_CREATE | flags, |message| {
            message.text(NFTA_SET_NAME, set.name);
            message.number(NFTA_SET_FLAGS, set_flags);
            message.number(NFTA_SET_KEY_TYPE, number(set.key));
            message.number(NFTA_SET_KEY_LEN, length(set.key));
            match set.values {
                Values::None => {}
                Values::Verdict => {
                    message.number(NFTA_SET_DATA_TYPE, libc::NFT_DATA_VERDICT);
                    message.number(NFTA_SET_DATA_LEN, 0);
                }
                Values::Data(data) => {
                    message.number(NFTA_SET_DATA_TYPE, number(data));
                    message.number(NFTA_SET_DATA_LEN, length(data));
                }
            }
            if has_ranges_of_several {
                message.nest(NFTA_SET_DESC, |description| {
                    description.nest(NFTA_SET_DESC_CONCAT, |fields| {
                        for field in set.key {
                            fields.nest(NFTA_LIST_ELEM, |one| one.number(NFTA_SET_FIELD_LEN, field.length));
                        }
                    });
                });
            }
            message.number(NFTA_SET_ID, id);
            let in_host_order = matches!(set.key, [field] if field.in_host_order);
            message.bytes(NFTA_SET_USERDATA, user_data::of_set(set.comment, in_host_order).bytes());
        });
    }

    /// Adds an anonymous set of ranges, for the next rule, as in `ip daddr { 10.0.0.0/8 }`. The ranges are as in
    /// [`Batch::add_ranges`] and must not overlap.
    pub fn add_own_ranges(&mut self, key: DataType, ranges: &[(Vec<u8>, Option<Vec<u8>>)]) -> OwnSet {
        let id = self.next_id();
        let flags = libc::NFT_SET_ANONYMOUS | libc::NFT_SET_CONSTANT | libc::NFT_SET_INTERVAL;
        self.message(libc::NFT_MSG_NEWSET, NLM_F_CREATE, |set| {
            set.text(NFTA_SET_NAME, ANONYMOUS_SET);
            set.number(NFTA_SET_FLAGS, flags.cast_unsigned());
            set.number(NFTA_SET_KEY_TYPE, key.number);
            set.number(NFTA_SET_KEY_LEN, key.length);
            set.number(NFTA_SET_ID, id);
        });
        self.ranges(ANONYMOUS_SET, Some(id), ranges);
        OwnSet(id)
    }
}

/// An anonymous set, by the number that identifies it in the transaction.
#[derive(Debug, Clone, Copy)]
pub struct OwnSet(pub(crate) u32);
