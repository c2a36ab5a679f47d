//! `firewall`: lets the host forward a pod's packets where another's firewall would drop them, and separates bridges.
//!
//! | question | file |
//! |---|---|
//! | keys of the config | `config.rs` |
//! | rules in the tables that `iptables-nft` keeps | `iptables.rs` |
//! | which of these rules are a pod's | `rules.rs` |
//! | weir's own table: what ADD made for a pod | `record.rs` |
//! | `ingressPolicy` | `isolation.rs` |
//!
//! An `accept` ends only the chain that it is in: a packet that another chain drops is lost. So a pod's accepting rules
//! are in the chain that drops, `FORWARD` of the tables `ip filter` and `ip6 filter`. They have the form of
//! `iptables-nft`, for it fails on a table with other rules: of a rule that looks into a set, `iptables-save` keeps
//! only `-j ACCEPT`.

mod add;
mod check;
mod config;
mod del;
mod gc;
mod iptables;
mod isolation;
mod record;
mod rules;
mod status;

/// The plugin.
pub const PLUGIN: cni::Plugin = cni::Plugin {
    name: "firewall",
    makes_interface: false,
    add: |request| Ok(add::add(request)?),
    check: |request| Ok(check::check(request)?),
    del: del::del,
    undo_add: |request, _| del::del(request),
    gc: |request| Ok(gc::gc(request)?),
    status: status::status,
};
