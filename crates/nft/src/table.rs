//! Tables: ours, and those of other tools.

use std::fmt;

/// The packets that a table sees (`enum` of uapi/linux/netfilter.h, `NFPROTO_*`).
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
    /// Its name, which is unique in the family.
    pub name: &'static str,
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
