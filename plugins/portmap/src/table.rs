//! The table, which is created before the first forwarded port, and kept.
//!
//! What `nft list table inet weir-portmap` shows for a pod 10.88.0.5/16 with port 8080 of the host, as far as IPv4
//! goes:
//!
//! ```text
//! table inet weir-portmap {
//!     set attachments {              # key: digest of container ID and interface . 0, and 1, 2, … for its ports
//!         type mark . mark . mark . mark . mark
//!         elements = { 0x0f… . 0x1a… . 0x93… . 0x4c… . 0x00000000 comment "podnet/3fd…/eth0" }
//!     }
//!     map holders {                  # host's address . protocol . port . conditions: digest
//!         type ipv6_addr . inet_proto . inet_service . mark : mark . mark . mark . mark
//!         elements = { ::ffff:0.0.0.0 . tcp . 8080 . 0x00000000 : 0x0f… . 0x1a… . 0x93… . 0x4c… }
//!     }
//!     map pods {                     # pod's address . protocol . port: digest
//!         type ipv6_addr . inet_proto . inet_service : mark . mark . mark . mark
//!         elements = { ::ffff:10.88.0.5 . tcp . 80 : 0x0f… . 0x1a… . 0x93… . 0x4c… }
//!     }
//!     map hosts-ipv4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }
//!     map loopback-ipv4 { … }        # as ports-ipv4, for 127.0.0.0/8
//!     map ports-ipv4 {
//!         type inet_proto . inet_service : ipv4_addr . inet_service
//!         elements = { tcp . 8080 : 10.88.0.5 . 80 }
//!     }
//!     set masquerade-ipv4-16 {       # one per prefix length in use
//!         type ipv4_addr . inet_proto . ipv4_addr . inet_service
//!         elements = { 10.88.0.0 . tcp . 10.88.0.5 . 80 }
//!     }
//!     chain guard {
//!         type filter hook prerouting priority raw; policy accept;
//!         iif != "lo" ip saddr 127.0.0.0/8 drop
//!         iif != "lo" ip daddr 127.0.0.0/8 drop
//!     }
//!     chain prerouting {
//!         type nat hook prerouting priority dstnat; policy accept;
//!         fib daddr type local jump host-ports
//!     }
//!     chain output { … }             # the same
//!     chain host-ports {
//!         jump conditional
//!         dnat ip to ip daddr . meta l4proto . th dport map @hosts-ipv4
//!         ip daddr 127.0.0.0/8 dnat ip to meta l4proto . th dport map @loopback-ipv4
//!         ip daddr != 127.0.0.0/8 dnat ip to meta l4proto . th dport map @ports-ipv4
//!     }
//!     chain conditional { }          # the same rules for each set of conditions in use, with maps of their own
//!     chain postrouting {
//!         type nat hook postrouting priority srcnat; policy accept;
//!         ct status dnat ip saddr & 255.255.0.0 . meta l4proto . ip daddr . th dport @masquerade-ipv4-16 masquerade
//!     }
//! }
//! ```
//!
//! Several processes may create it at once, and on top of what a killed one left: to create it again changes nothing.

use std::collections::HashMap;

use ipnetwork::IpNetwork;
use linux::{Attempts, Family, Feature, Result, are_available, in_new_namespace};
use nft::{
    Batch, Chain, ChainHook, ChainType, Comparison, DataType, Digest, Expressions, Field, Fields, HookPoint,
    Nat, Nftables, Set, Side, Table, TableFamily, TableState, UserData, Values, Verdict, ct_status, octets,
    unsettled,
};
use nix::errno::Errno;
use nix::libc;

use crate::conditions::Conditions;

/// The table of the forwarded ports.
pub(crate) const TABLE: Table = Table { family: TableFamily::Inet, name: "weir-portmap" };
pub(crate) const ATTACHMENTS: &str = "attachments";
pub(crate) const HOLDERS: &str = "holders";
pub(crate) const PODS: &str = "pods";
pub(crate) const HOST_PORTS: &str = "host-ports";
pub(crate) const GUARD: &str = "guard";
pub(crate) const POSTROUTING: &str = "postrouting";
const CONDITIONAL: &str = "conditional";
pub(crate) const HOOKED: [&str; 2] = ["prerouting", "output"];
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
/// The index of `lo`, the first link of every namespace.
const LO: u32 = 1;

/// The maps of one family, for packets that fulfil the same conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Maps {
    pub family: Family,
    /// Names the conditions; 0 for none.
    pub conditions: u32,
}

impl Maps {
    /// Returns the name of the map from address, protocol and port.
    pub fn hosts(self) -> String {
        self.name("hosts")
    }

    /// Returns the name of the map from protocol and port, for all addresses but 127.0.0.0/8 and ::1.
    pub fn ports(self) -> String {
        self.name("ports")
    }

    /// Returns the name of the map from protocol and port, for 127.0.0.0/8.
    pub fn loopback(self) -> String {
        self.name("loopback")
    }

    fn name(self, kind: &str) -> String {
        let family = keyword(self.family);
        match self.conditions {
            0 => format!("{kind}-{family}"),
            conditions => format!("{kind}-{family}-{conditions:08x}"),
        }
    }

    /// Returns the chain with the rules that look into them.
    pub fn chain(self) -> &'static str {
        if self.conditions == 0 { HOST_PORTS } else { CONDITIONAL }
    }

    /// Adds the maps, and the rules that look into them. Those of conditions cannot double, because the first map is
    /// created once.
    fn create(self, batch: &mut Batch, conditions: &Conditions) {
        let family = self.family;
        let values = Values::Data(match family {
            Family::V4 => &[DataType::IPV4_ADDRESS, DataType::PORT],
            Family::V6 => &[DataType::IPV6_ADDRESS, DataType::PORT],
        });
        let (hosts, ports, loopback) = (self.hosts(), self.ports(), self.loopback());
        let port: Fields<'_> = &[DataType::PROTOCOL, DataType::PORT];
        let with_address: Fields<'_> = &[address(family), port[0], port[1]];
        let of_hosts = Set { values, ..Set::new(&hosts, with_address, "ports of one address of the host") };
        match self.conditions {
            0 => batch.add_set(&of_hosts),
            _ => batch.create_set(&of_hosts),
        }
        batch.add_set(&Set { values, ..Set::new(&ports, port, "ports of all addresses of the host") });
        let port = [Field::TransportProtocol, Field::Port(Side::Destination)];
        let with_address: &[Field] = &[Field::Address(family, Side::Destination), port[0], port[1]];
        let mut rules = vec![
            ("to the pod that has the port of this address", None, &hosts, with_address),
            ("to the pod that has the port of all addresses", Some(false), &ports, &port),
        ];
        if family == Family::V4 {
            batch.add_set(&Set {
                values,
                ..Set::new(&loopback, &[DataType::PROTOCOL, DataType::PORT], "ports of 127.0.0.0/8")
            });
            rules.push(("to the pod that has the port of 127.0.0.0/8", Some(true), &loopback, &port));
        }
        for (comment, is_loopback, map, key) in rules {
            batch.add_rule(self.chain(), &UserData::of_comment(comment), |rule| {
                rule.is_of_family(family);
                if let Some(is_loopback) = is_loopback {
                    compare_with_loopback(rule, family, Side::Destination, is_loopback);
                }
                conditions.match_in(rule);
                rule.load(key);
                rule.map(map);
                rule.nat(Nat::Destination, family, true);
            });
        }
    }
}

/// Returns the name of the set of ports that are masqueraded for sources in a prefix of this length.
pub(crate) fn masquerade_set(source: IpNetwork) -> String {
    format!("masquerade-{}-{}", keyword(Family::of_address(source.ip())), source.prefix())
}

/// What an ADD needs in the table beside what is always there.
#[derive(Debug, Default)]
pub(crate) struct Needs<'a> {
    /// Prefixes of sources that are masqueraded.
    pub masqueraded: Vec<IpNetwork>,
    /// Maps of mappings with conditions.
    pub conditional: Vec<(Maps, &'a Conditions)>,
}

/// Creates what is missing, in one transaction.
///
/// Existing objects are read first: a transaction that the kernel refuses waits for an RCU grace period.
pub(crate) fn create(nftables: &mut Nftables, needs: &Needs<'_>) -> Result<()> {
    let operation = format_args!("create table {TABLE} in nf_tables");
    let feature = Feature::NftablesNat;
    for () in Attempts::default() {
        let (batch, fib) = missing(nftables, needs).map_err(|failed| failed.missing(feature, operation))?;
        if batch.last() == 0 {
            return Ok(());
        }
        match nftables.transact(batch) {
            Ok(()) => return Ok(()),
            // Another process was faster.
            Err(failed) if failed.is(Errno::EEXIST) => {}
            Err(failed) if failed.is(Errno::ENOENT) && fib.contains(&failed.message()) => {
                return Err(failed.missing(Feature::NftablesFib, operation));
            }
            Err(failed) => return Err(failed.missing(feature, operation)),
        }
    }
    Err(unsettled(operation, TABLE))
}

/// Checks whether the kernel has what the table needs. Loads modules if they are installed; changes nothing else.
///
/// A table in use proves it, and so do the modules. Otherwise it is created in a network namespace that ends with the
/// call.
///
/// # Errors
/// [`Error::MissingFeature`](linux::Error::MissingFeature) when the kernel cannot, and the kernel's refusal.
pub(crate) fn probe(nftables: &mut Nftables) -> Result<()> {
    let is_in_use = nftables.has_chain(TABLE, HOST_PORTS).is_ok_and(|exists| exists);
    if is_in_use || are_available(&["nf_tables", "nft_chain_nat", "nft_nat", "nft_masq", "nft_fib_inet"]) {
        return Ok(());
    }
    in_new_namespace(|| create(&mut Nftables::open()?, &Needs::default()))?
}

/// Returns the transaction that creates what is missing, and the indices of the messages that need `fib`.
fn missing(nftables: &mut Nftables, needs: &Needs<'_>) -> nft::Result<(Batch, Vec<usize>)> {
    let mut batch = Batch::new(TABLE);
    let mut fib = Vec::new();
    // The other chains are created with these.
    let mut has_base = nftables.has_chain(TABLE, HOST_PORTS)? && nftables.has_chain(TABLE, GUARD)?;
    for set in [ATTACHMENTS, HOLDERS, PODS] {
        has_base = has_base && nftables.has_set(TABLE, set)?;
    }
    if !has_base {
        fib = base(&mut batch);
    }
    for (maps, conditions) in &needs.conditional {
        if !nftables.has_set(TABLE, &maps.hosts())? {
            maps.create(&mut batch, conditions);
        }
    }
    // Ports share sets.
    let unique: HashMap<String, &IpNetwork> =
        needs.masqueraded.iter().map(|source| (masquerade_set(*source), source)).collect();
    for source in unique.into_values() {
        if !nftables.has_set(TABLE, &masquerade_set(*source))? {
            masquerade(&mut batch, *source);
        }
    }
    Ok((batch, fib))
}

/// Adds the table, its sets and chains, and the rules that are always there, each once. Returns the indices of the
/// messages that need `fib`.
fn base(batch: &mut Batch) -> Vec<usize> {
    batch.add_table(TableState::Active, "ports of the host that lead to pods, kept by weir");
    let digest = [DataType::MARK; Digest::LEN / 4];
    let comment = "key: digest of container ID and interface . part; comment: network/container ID/interface";
    batch.add_set(&Set::new(ATTACHMENTS, &[DataType::MARK; Digest::LEN / 4 + 1], comment));
    let key = &[DataType::IPV6_ADDRESS, DataType::PROTOCOL, DataType::PORT, DataType::MARK];
    let comment = "host's address (IPv4 mapped) . protocol . port . conditions: digest of the owner";
    batch.add_set(&Set { values: Values::Data(&digest), ..Set::new(HOLDERS, key, comment) });
    let comment = "pod's address (IPv4 mapped) . protocol . port: digest of the owner";
    batch.add_set(&Set { values: Values::Data(&digest), ..Set::new(PODS, &key[..3], comment) });
    for (name, comment) in
        [(HOST_PORTS, "packets to this host"), (CONDITIONAL, "mappings with conditionsV4 or conditionsV6")]
    {
        batch.add_chain(&Chain { name, hook: None, comment });
    }
    let chain = |batch: &mut Batch, name, kind, point, priority, comment| {
        batch.add_chain(&Chain { name, hook: Some(ChainHook::new(kind, point, priority)), comment });
    };
    let (nat, filter) = (ChainType::Nat, ChainType::Filter);
    let comment = "127.0.0.0/8 stays inside the host";
    chain(batch, GUARD, filter, HookPoint::Prerouting, libc::NF_IP_PRI_RAW, comment);
    chain(batch, HOOKED[0], nat, HookPoint::Prerouting, libc::NF_IP_PRI_NAT_DST, "what arrives");
    chain(batch, HOOKED[1], nat, HookPoint::Output, libc::NF_IP_PRI_NAT_DST, "what the host sends");
    let comment = "one rule per prefix length in use";
    chain(batch, POSTROUTING, nat, HookPoint::Postrouting, libc::NF_IP_PRI_NAT_SRC, comment);
    [GUARD, HOOKED[0], HOOKED[1], HOST_PORTS].iter().for_each(|chain| batch.flush_chain(chain));
    for side in [Side::Source, Side::Destination] {
        batch.add_rule(GUARD, &UserData::of_comment("route_localnet lets it in"), |rule| {
            rule.load(&[Field::InputLink]);
            rule.compare(Comparison::Different, &LO.to_ne_bytes());
            rule.is_of_family(Family::V4);
            compare_with_loopback(rule, Family::V4, side, true);
            rule.decide(Verdict::Drop);
        });
    }
    let to_this_host = HOOKED.map(|chain| {
        batch.add_rule(chain, &UserData::of_comment("only what is addressed to this host"), |rule| {
            rule.is(Field::DestinationType, &u32::from(libc::RTN_LOCAL).to_ne_bytes());
            rule.decide(Verdict::Jump(HOST_PORTS));
        })
    });
    batch.add_rule(HOST_PORTS, &UserData::of_comment("mappings with conditions come first"), |rule| {
        rule.decide(Verdict::Jump(CONDITIONAL));
    });
    for family in FAMILIES {
        Maps { family, conditions: 0 }.create(batch, &Conditions::default());
    }
    to_this_host.to_vec()
}

/// Adds the set of ports that are masqueraded for sources in a prefix of this length, and its rule. The rule cannot
/// double, because the set is created once.
fn masquerade(batch: &mut Batch, source: IpNetwork) {
    let (family, name) = (Family::of_address(source.ip()), masquerade_set(source));
    let key: Fields<'_> = &[address(family), DataType::PROTOCOL, address(family), DataType::PORT];
    batch.create_set(&Set::new(&name, key, "source's prefix . protocol . pod . port"));
    batch.add_rule(POSTROUTING, &UserData::of_comment("answers come back by way of the node"), |rule| {
        rule.load(&[Field::ConnectionStatus]);
        rule.mask(&ct_status::DESTINATION_NAT.to_ne_bytes());
        rule.compare(Comparison::Different, &0u32.to_ne_bytes());
        rule.is_of_family(family);
        let words = family.address_len() / 4;
        rule.load_at(0, Field::Address(family, Side::Source));
        rule.mask(&octets(source.mask()));
        rule.load_at(words, Field::TransportProtocol);
        rule.load_at(words + 1, Field::Address(family, Side::Destination));
        rule.load_at(2 * words + 1, Field::Port(Side::Destination));
        rule.is_in(&name);
        rule.masquerade();
    });
}

/// Ends the rule unless the address is one of 127.0.0.0/8 or ::1, or is none of them.
fn compare_with_loopback(rule: &mut Expressions<'_, '_>, family: Family, side: Side, is_loopback: bool) {
    let comparison = if is_loopback { Comparison::Equal } else { Comparison::Different };
    rule.load(&[Field::Address(family, side)]);
    match family {
        Family::V4 => {
            rule.mask(&[255, 0, 0, 0]);
            rule.compare(comparison, &[127, 0, 0, 0]);
        }
        Family::V6 => rule.compare(comparison, &std::net::Ipv6Addr::LOCALHOST.octets()),
    }
}

fn address(family: Family) -> DataType {
    match family {
        Family::V4 => DataType::IPV4_ADDRESS,
        Family::V6 => DataType::IPV6_ADDRESS,
    }
}

fn keyword(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}
