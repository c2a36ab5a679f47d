//! Asking the kernel whether it can masquerade, without leaving anything behind.

use super::batch::Batch;
use super::objects::{self, ChainKind};
use super::skeleton::{POSTROUTING, TABLE, missing};
use super::table::{Table, TableFamily};
use super::{Failed, Nftables};
use crate::error::Result;

/// A table that never comes to be.
const REHEARSED: Table = Table { family: TableFamily::Inet, name: "weir-probe" };

impl Nftables {
    /// Looks whether the kernel has nf_tables with address translation and masquerading. Loads their modules
    /// if they are installed; changes nothing else.
    ///
    /// The effect of `nft --check add …` of a table with such a chain and rule.
    ///
    /// # Errors
    /// [`Error::MissingFeature`](crate::Error::MissingFeature) when the kernel cannot;
    /// [`Error::Refused`](crate::Error::Refused) with `EPERM` when the caller may not ask.
    pub fn probe(&mut self) -> Result<()> {
        // Undoing a rehearsal waits for an RCU grace period; a rule that is in use needs none.
        if self.rules(TABLE, None).is_ok_and(|rules| rules.iter().any(|rule| rule.masquerades)) {
            return Ok(());
        }
        let mut batch = Batch::rehearsal(REHEARSED);
        // A dormant table hooks nothing in: no packet sees the rehearsal.
        objects::table(&mut batch, true, "never committed");
        objects::chain(&mut batch, POSTROUTING, ChainKind::SourceNat, "never committed");
        objects::rule(&mut batch, POSTROUTING, "never committed", |rule| rule.masquerade());
        self.transact(batch)
            .map_err(|failed: Failed| missing(failed.during(format_args!("masquerade with nf_tables"))))
    }
}
