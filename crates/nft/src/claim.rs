//! Claims: elements that belong to one claimant, and are deleted only while they do.
//!
//! An element of a map names its claimant in its data. Adding an element that exists changes nothing if the data is the
//! same, and is refused if the data differs. So a transaction that adds the expected element and then deletes it deletes
//! the claimant's element or fails; an element that is gone does not make it fail. No generation ID has to be read, and an
//! unrelated transaction in between does no harm.
//!
//! The proof for a chain are the handles of its rules, which the kernel never reuses.

use nix::errno::Errno;

use crate::batch::Batch;
use crate::element::Element;
use crate::socket::{Nftables, Result};
use crate::table::Table;

/// A key of a map that a claimant holds, and the elements that come and go with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The element that names the claimant in its data.
    pub holder: Element,
    /// The elements of other sets and maps that come and go with it.
    pub elements: Vec<Element>,
}

/// A chain as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundChain {
    /// Where it is.
    pub table: Table,
    /// Its name.
    pub name: String,
    /// The handles of its rules.
    pub rules: Vec<u64>,
}

impl Batch {
    /// Takes a key. The kernel refuses the batch if the key is taken ([a conflict](crate::Failed::is_conflict)).
    pub fn take(&mut self, claim: &Claim) {
        self.create_element(&claim.holder);
        claim.elements.iter().for_each(|element| self.add_element(element));
    }

    /// Gives a key back. The kernel refuses the batch if another claimant has the key now
    /// ([a conflict](crate::Failed::is_conflict)), at one of the messages up to the index that this returns.
    pub fn give_back(&mut self, claim: &Claim) -> usize {
        let end = self.delete_expected(&claim.holder);
        claim.elements.iter().fold(end, |_, element| self.delete_expected(element))
    }

    /// Deletes an element if it exists. The kernel refuses the batch if its data differs
    /// ([a conflict](crate::Failed::is_conflict)). Returns the last message's index.
    pub fn delete_expected(&mut self, element: &Element) -> usize {
        self.add_element(&Element { user_data: Vec::new(), ..element.clone() });
        self.delete_element(&element.set, &element.key)
    }

    /// Deletes a chain. The kernel refuses the batch with `ENOENT` if it was replaced since it was read.
    pub fn delete_found_chain(&mut self, chain: &FoundChain) {
        chain.rules.iter().for_each(|handle| self.delete_rule(&chain.name, *handle));
        self.delete_chain(&chain.name);
    }
}

impl Nftables {
    /// Deletes `record`, the element that lists a claimant's keys, and gives back `claims`, all of them. A key that another
    /// claimant has by now stays. The same transaction deletes `chains`, except those that were replaced since they were
    /// read: the kernel frees everything after one grace period.
    ///
    /// # Errors
    /// The kernel's refusal. Then nothing is deleted, or only the chains.
    pub fn give_back(
        &mut self,
        table: Table,
        record: &Element,
        mut claims: Vec<Claim>,
        mut chains: &[FoundChain],
    ) -> Result<()> {
        loop {
            let mut batch = Batch::new(table);
            let recorded = batch.delete_element(&record.set, &record.key);
            let ends: Vec<usize> = claims.iter().map(|claim| batch.give_back(claim)).collect();
            let last = batch.last();
            for chain in chains {
                batch.turn_to(chain.table);
                batch.delete_found_chain(chain);
            }
            let Err(failed) = self.transact(batch) else { return Ok(()) };
            let is_gone = failed.is(Errno::ENOENT);
            // Another process deleted the same record, and its claims.
            if is_gone && failed.message() == recorded {
                return self.delete_found_chains(chains);
            }
            // One of the chains is gone, or was replaced.
            if is_gone && failed.message() > last {
                self.delete_found_chains(std::mem::take(&mut chains))?;
                continue;
            }
            // Another claimant has this key now, or its set was deleted by hand.
            let lost = ends.iter().position(|end| failed.message() > recorded && failed.message() <= *end);
            match lost {
                Some(lost) if failed.is_conflict() || is_gone => {
                    claims.remove(lost);
                }
                _ => return Err(failed),
            }
        }
    }

    /// Deletes chains, except those that were replaced since they were read.
    ///
    /// # Errors
    /// The kernel's refusal of the first that it refuses.
    pub fn delete_found_chains(&mut self, chains: &[FoundChain]) -> Result<()> {
        chains.iter().try_for_each(|chain| self.delete_found_chain(chain).map(drop))
    }

    /// Deletes a chain, unless it was replaced since it was read. Returns whether it was deleted.
    ///
    /// Equivalent to `nft delete chain TABLE NAME`.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn delete_found_chain(&mut self, chain: &FoundChain) -> Result<bool> {
        let mut batch = Batch::new(chain.table);
        batch.delete_found_chain(chain);
        match self.transact(batch) {
            Ok(()) => Ok(true),
            Err(failed) if failed.is(Errno::ENOENT) => Ok(false),
            Err(failed) => Err(failed),
        }
    }
}
