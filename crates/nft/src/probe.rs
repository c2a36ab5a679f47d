//! Asking the kernel whether it can masquerade, without leaving anything behind.

use super::batch::Batch;
use super::objects::{self, ChainKind};
use super::skeleton::{POSTROUTING, TABLE, missing};
use super::spoof;
use super::{Failed, Nftables};
use crate::table::{Table, TableFamily};
use linux::Result;
use linux::are_loaded;

/// Tables that never come to be.
const REHEARSED_NAT: Table = Table { family: TableFamily::Inet, name: "weir-probe" };
const REHEARSED_BRIDGE: Table = Table { family: TableFamily::Bridge, name: "weir-probe" };

impl Nftables {
    /// Looks whether the kernel has nf_tables with address translation and masquerading. Loads their modules
    /// if they are installed; changes nothing else.
    ///
    /// The effect of `nft --check add …` of a table with such a chain and rule.
    ///
    /// # Errors
    /// [`Error::MissingFeature`](linux::Error::MissingFeature) when the kernel cannot;
    /// [`Error::Refused`](linux::Error::Refused) with `EPERM` when the caller may not ask.
    pub fn probe(&mut self) -> Result<()> {
        // Undoing a rehearsal waits for an RCU grace period; a rule that is in use needs none, nor do modules that are
        // loaded for anybody's rule.
        let rules = self.rules(TABLE, None);
        let is_answered = rules.is_ok();
        if rules.is_ok_and(|rules| rules.iter().any(|rule| rule.masquerades)) {
            return Ok(());
        }
        if is_answered && are_loaded(&["nf_tables", "nft_chain_nat", "nft_masq"]) {
            return Ok(());
        }
        let mut batch = Batch::rehearsal(REHEARSED_NAT);
        // A dormant table hooks nothing in: no packet sees the rehearsal.
        objects::table(&mut batch, true, "never committed");
        objects::chain(&mut batch, POSTROUTING, ChainKind::SourceNat, "never committed");
        objects::rule(&mut batch, POSTROUTING, "never committed", |rule| rule.masquerade());
        self.transact(batch)
            .map_err(|failed: Failed| missing(failed.during(format_args!("masquerade with nf_tables"))))
    }

    /// Looks whether the kernel has nf_tables for bridges, without which source addresses of frames cannot be
    /// checked. Changes nothing.
    ///
    /// The effect of `nft --check add chain bridge …`.
    ///
    /// # Errors
    /// As of [`Nftables::probe`].
    pub fn probe_spoof_check(&mut self) -> Result<()> {
        if self.rules(spoof::TABLE, None).is_ok_and(|rules| rules.iter().any(|rule| rule.drops)) {
            return Ok(());
        }
        let mut batch = Batch::rehearsal(REHEARSED_BRIDGE);
        objects::table(&mut batch, true, "never committed");
        objects::chain(&mut batch, "prerouting", ChainKind::BridgePrerouting, "never committed");
        self.transact(batch)
            .map_err(|failed| spoof::missing(failed.during(format_args!("check source addresses of frames"))))
    }
}
