//! Tables of `iptables-legacy`, which nf_tables does not reach.

use crate::family::Family;

/// Returns whether `iptables-legacy` (`ip6tables-legacy` for IPv6) has the table `nat` in the current namespace.
///
/// Reads `/proc/net/ip_tables_names` (net/netfilter/x_tables.c), which is absent while the tables are not in use. An
/// unreadable file counts as "no".
pub fn legacy_nat_in_use(family: Family) -> bool {
    let names = match family {
        Family::V4 => "/proc/thread-self/net/ip_tables_names",
        Family::V6 => "/proc/thread-self/net/ip6_tables_names",
    };
    std::fs::read_to_string(names).is_ok_and(|names| names.lines().any(|name| name == "nat"))
}
