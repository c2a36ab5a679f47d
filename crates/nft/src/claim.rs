//! What belongs to one owner: taken when it is free, and given back only while it is still that owner's.
//!
//! An element of a map says in its data who it belongs to. To add an element that is there changes nothing when its data
//! is the same, and is refused when it differs. So a transaction that adds the element that it expects and deletes it
//! then, deletes it only if it is still the same owner's; one that is gone is no obstacle. No generation number has to be
//! read, and no transaction is repeated because an unrelated one came in between.
//!
//! A chain is proven by the handles of its rules, which the kernel never uses again.

use nix::errno::Errno;

use crate::batch::Batch;
use crate::element::Element;
use crate::socket::{Failed, Nftables};
use crate::table::Table;

/// A key of a map that an owner holds, and what comes and goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The element whose data says who the owner is.
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
    /// Takes a key; the kernel refuses the batch when somebody has it ([`Failed::is_conflict`]).
    pub fn take(&mut self, claim: &Claim) {
        self.create_element(&claim.holder);
        claim.elements.iter().for_each(|element| self.add_element(element));
    }

    /// Gives a key back; the kernel refuses the batch when another owner has it by now ([`Failed::is_conflict`]), at one
    /// of the messages up to the index that this returns.
    pub fn give_back(&mut self, claim: &Claim) -> usize {
        let end = self.delete_expected(&claim.holder);
        claim.elements.iter().fold(end, |_, element| self.delete_expected(element))
    }

    /// Deletes an element whether it is there or not; the kernel refuses the batch when its data differs
    /// ([`Failed::is_conflict`]). Returns the last message's index.
    pub fn delete_expected(&mut self, element: &Element) -> usize {
        self.add_element(&Element { user_data: Vec::new(), ..element.clone() });
        self.delete_element(&element.set, &element.key)
    }

    /// Deletes a chain; the kernel refuses the batch with `ENOENT` when it is another one by now.
    pub fn delete_found_chain(&mut self, chain: &FoundChain) {
        chain.rules.iter().for_each(|handle| self.delete_rule(&chain.name, *handle));
        self.delete_chain(&chain.name);
    }
}

impl Nftables {
    /// Deletes `record`, the element that says what an owner has, and gives back `claims`, all that it has, as far as
    /// they are still its own; with them, in the same transaction, `chains` as far as they are still the same ones. The
    /// kernel frees all of it after one grace period.
    ///
    /// # Errors
    /// What the kernel says; then nothing is deleted, or the chains only.
    pub fn give_back(
        &mut self,
        table: Table,
        record: &Element,
        mut claims: Vec<Claim>,
        mut chains: &[FoundChain],
    ) -> Result<(), Failed> {
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
            // Another process removed the same record, with all that it had.
            if is_gone && failed.message() == recorded {
                return self.delete_found_chains(chains);
            }
            // One of the chains is gone, or another one by now.
            if is_gone && failed.message() > last {
                self.delete_found_chains(std::mem::take(&mut chains))?;
                continue;
            }
            // This key is another owner's by now, or somebody deleted the set by hand.
            let lost = ends.iter().position(|end| failed.message() > recorded && failed.message() <= *end);
            match lost {
                Some(lost) if failed.is_conflict() || is_gone => {
                    claims.remove(lost);
                }
                _ => return Err(failed),
            }
        }
    }

    /// Deletes chains, each as far as it is still the same one.
    ///
    /// # Errors
    /// What the kernel says of the first that cannot be deleted.
    pub fn delete_found_chains(&mut self, chains: &[FoundChain]) -> Result<(), Failed> {
        chains.iter().try_for_each(|chain| self.delete_found_chain(chain).map(drop))
    }

    /// Deletes a chain, unless it is another one by now; returns whether it was there.
    ///
    /// The effect of `nft delete chain TABLE NAME`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn delete_found_chain(&mut self, chain: &FoundChain) -> Result<bool, Failed> {
        let mut batch = Batch::new(chain.table);
        batch.delete_found_chain(chain);
        match self.transact(batch) {
            Ok(()) => Ok(true),
            Err(failed) if failed.is(Errno::ENOENT) => Ok(false),
            Err(failed) => Err(failed),
        }
    }
}
