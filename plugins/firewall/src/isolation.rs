//! `ingressPolicy`: pods behind different bridges do not reach each other through the host, with `isolated` those
//! behind one bridge neither.
//!
//! Two rules of weir's own table keep bridges apart (`record.rs`). They match on names of bridges, which stay when the
//! last pod goes, as the reference's do, until GC finds the bridge gone. With `isolated` a third rule drops what a
//! bridge forwards between two isolated ports:
//!
//! ```text
//! table bridge weir-firewall {
//!     set isolated-ports {
//!         type ifname
//!         elements = { "veth1c2d3e4f" comment "podnet/3fd…/eth0" }
//!     }
//!     chain forward {
//!         type filter hook forward priority filter; policy accept;
//!         iifname @isolated-ports oifname @isolated-ports counter drop
//!     }
//! }
//! ```

use linux::{Feature, Result};
use nft::{
    Batch, Chain, ChainHook, ChainType, Claimant, DataType, Element, Field, HookPoint, Nftables, Set, Table,
    TableFamily, TableState, UserData, Verdict,
};
use nix::errno::Errno;
use nix::libc::{IFNAMSIZ, NF_BR_PRI_FILTER_BRIDGED};

use crate::record::{self, BRIDGES, FORWARD, SAME_BRIDGE};

const TABLE: Table = Table { family: TableFamily::Bridge, name: "weir-firewall" };
const PORTS: &str = "isolated-ports";

/// What a pod's ingress policy asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Isolation {
    pub bridge: String,
    pub port: String,
    /// Whether it is also kept from the pods behind its own bridge.
    pub is_full: bool,
}

impl Isolation {
    /// Appends the elements. `replaces` an earlier port of this name.
    pub(crate) fn add(&self, batch: &mut Batch, claimant: &Claimant, replaces: bool) {
        batch.turn_to(record::TABLE);
        batch.add_element(&Element::new(BRIDGES, name_key(&self.bridge)));
        let pair = Element::new(SAME_BRIDGE, self.pair_key());
        if !self.is_full {
            batch.add_element(&pair);
            return;
        }
        batch.delete_expected(&pair);
        batch.turn_to(TABLE);
        let port = Element::new(PORTS, name_key(&self.port));
        if replaces {
            batch.delete_expected(&port);
        }
        batch.create_element(&port.with_user_data(&UserData::of_claimant(claimant)));
    }

    fn pair_key(&self) -> Vec<u8> {
        [name_key(&self.bridge), name_key(&self.bridge)].concat()
    }

    /// Creates the tables that are missing.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub(crate) fn create_tables(isolation: Option<&Self>, nftables: &mut Nftables) -> Result<()> {
        record::create_table(nftables)?;
        if isolation.is_some_and(|isolation| isolation.is_full) { create_table(nftables) } else { Ok(()) }
    }

    /// Returns what is missing.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub(crate) fn fault(&self, nftables: &mut Nftables, claimant: &Claimant) -> nft::Result<Option<String>> {
        let table = record::TABLE;
        let bridge = name_key(&self.bridge);
        if nftables.element(table, BRIDGES, &bridge, |_| ())?.is_none() {
            return Ok(Some(format!(
                "bridge {} is not kept apart (nf_tables, set {BRIDGES} of {table})",
                self.bridge
            )));
        }
        let has_pair = nftables.element(table, SAME_BRIDGE, &self.pair_key(), |_| ())?.is_some();
        if has_pair == self.is_full {
            let state = if has_pair { "reach" } else { "do not reach" };
            return Ok(Some(format!(
                "pods behind bridge {} {state} each other through the host (nf_tables, set {SAME_BRIDGE} of {table})",
                self.bridge
            )));
        }
        if !has_rule(nftables, table, BRIDGES)? {
            return Ok(Some(format!(
                "the rule between bridges is gone (nf_tables, chain {FORWARD} of {table})"
            )));
        }
        if !self.is_full {
            return Ok(None);
        }
        if !is_isolated(nftables, &self.port, claimant)? || !has_rule(nftables, TABLE, PORTS)? {
            let port = &self.port;
            return Ok(Some(format!("{port} is not isolated (nf_tables, set {PORTS} of {TABLE})")));
        }
        Ok(None)
    }
}

/// Returns whether a rule of chain `forward` drops by this set.
fn has_rule(nftables: &mut Nftables, table: Table, set: &str) -> nft::Result<bool> {
    let rules = nftables.rules(table, Some(FORWARD))?;
    Ok(rules.iter().any(|rule| rule.drops && rule.sets == [set, set]))
}

/// Returns whether a port is isolated for the claimant.
///
/// # Errors
/// The kernel's refusal.
fn is_isolated(nftables: &mut Nftables, port: &str, claimant: &Claimant) -> nft::Result<bool> {
    let found =
        nftables.element(TABLE, PORTS, &name_key(port), |port| UserData::claimant(port.user_data()))?;
    Ok(found.flatten().is_some_and(|found| found.digest == claimant.digest))
}

/// Has the batch delete a port, if it is isolated for the claimant.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn delete_port_of(
    nftables: &mut Nftables,
    batch: &mut Batch,
    port: &str,
    claimant: &Claimant,
) -> nft::Result<()> {
    if is_isolated(nftables, port, claimant)? {
        batch.turn_to(TABLE);
        batch.delete_element(PORTS, &name_key(port));
    }
    Ok(())
}

/// Returns the isolated ports, for GC.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn ports(nftables: &mut Nftables) -> nft::Result<Vec<(Claimant, String)>> {
    nftables.elements(TABLE, PORTS, |port| Some((UserData::claimant(port.user_data())?, name(port.key())?)))
}

/// Returns the bridges with a policy, for GC.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn bridges(nftables: &mut Nftables) -> nft::Result<Vec<String>> {
    nftables.elements(record::TABLE, BRIDGES, |element| name(element.key()))
}

/// Deletes a bridge's elements. Not an error if there are none.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn delete_bridge(nftables: &mut Nftables, bridge: &str) -> nft::Result<()> {
    let mut batch = Batch::new(record::TABLE);
    let key = name_key(bridge);
    batch.delete_expected(&Element::new(BRIDGES, key));
    batch.delete_expected(&Element::new(SAME_BRIDGE, [key, key].concat()));
    nftables.transact(batch)
}

/// Creates the table of the ports with its one rule, which cannot double, because the set is created once.
fn create_table(nftables: &mut Nftables) -> Result<()> {
    let mut batch = Batch::new(TABLE);
    batch.add_table(TableState::Active, "ports of isolated pods, kept by weir");
    let comment = "in the comments: network/container ID/interface";
    batch.create_set(&Set::new(PORTS, &[DataType::INTERFACE_NAME], comment));
    let hook = ChainHook::new(ChainType::Filter, HookPoint::Forward, NF_BR_PRI_FILTER_BRIDGED);
    batch.add_chain(&Chain { name: FORWARD, hook: Some(hook), comment: "one rule for all pods" });
    batch.add_rule(FORWARD, &UserData::of_comment("between isolated pods"), |rule| {
        rule.load(&[Field::InputLinkName]);
        rule.is_in(PORTS);
        rule.load(&[Field::OutputLinkName]);
        rule.is_in(PORTS);
        rule.count();
        rule.decide(Verdict::Drop);
    });
    match nftables.transact(batch) {
        // Another process was faster.
        Err(failed) if failed.is(Errno::EEXIST) => Ok(()),
        outcome => outcome.map_err(|failed| {
            failed.missing(Feature::NftablesBridge, format_args!("create nf_tables table {TABLE}"))
        }),
    }
}

/// Returns a name as a key, filled up with zeros.
fn name_key(name: &str) -> [u8; IFNAMSIZ] {
    let mut key = [0; IFNAMSIZ];
    key.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    key
}

/// Returns the name that [`name_key`] made a key.
fn name(key: &[u8]) -> Option<String> {
    String::from_utf8(key.split(|byte| *byte == 0).next()?.to_vec()).ok()
}
