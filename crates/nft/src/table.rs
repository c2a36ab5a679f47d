//! Tables.

use std::fmt;

use netlink_packet_core::NLM_F_CREATE;
use nix::libc;

use crate::batch::Batch;
use crate::constants::*;
use crate::user_data::UserData;

/// The packets that a table sees (`NFPROTO_*` of uapi/linux/netfilter.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFamily {
    /// `inet`: IPv4 and IPv6.
    Inet = 1,
    /// `ip`: IPv4.
    Ipv4 = 2,
    /// `netdev`: what arrives at a link.
    Netdev = 5,
    /// `bridge`: frames that a bridge forwards.
    Bridge = 7,
    /// `ip6`: IPv6.
    Ipv6 = 10,
}

/// A table of nf_tables, as `nft list table FAMILY NAME` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Its family.
    pub family: TableFamily,
    /// Its name, unique in the family.
    pub name: &'static str,
}

/// Whether the kernel enters the chains of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableState {
    /// It does, even if the table was dormant before.
    Active,
    /// It does not (`flags dormant`).
    Dormant,
    /// A table that exists stays as it is; a new one is active.
    Unchanged,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.family {
            TableFamily::Inet => "inet",
            TableFamily::Ipv4 => "ip",
            TableFamily::Netdev => "netdev",
            TableFamily::Bridge => "bridge",
            TableFamily::Ipv6 => "ip6",
        };
        write!(f, "{family} {}", self.name)
    }
}

impl Batch {
    /// Adds the batch's table, unless it exists. An empty comment is none.
    ///
    /// Equivalent to `nft add table FAMILY NAME { comment "…"; }`.
    pub fn add_table(&mut self, state: TableState, comment: &str) {
        self.message(libc::NFT_MSG_NEWTABLE, NLM_F_CREATE, |table| {
            match state {
                TableState::Active => table.number(NFTA_TABLE_FLAGS, 0),
                TableState::Dormant => table.number(NFTA_TABLE_FLAGS, NFT_TABLE_F_DORMANT),
                TableState::Unchanged => {}
            }
            if !comment.is_empty() {
                table.bytes(NFTA_TABLE_USERDATA, UserData::of_comment(comment).bytes());
            }
        });
    }
}
