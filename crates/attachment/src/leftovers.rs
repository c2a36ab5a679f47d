//! Rules and chains of another tool in tables that it shares with others: recognised by their comments, and removed.

use linux::{Attempts, Result};
use nft::{Batch, Nftables, Rule, Table};
use nix::errno::Errno;

/// Rules with a comment, and the chains that only they lead to.
#[derive(Debug, Clone)]
pub struct Leftover<'a> {
    /// Where it is.
    pub table: Table,
    /// The chain in which its rules are among those of others.
    pub shared_chain: &'a str,
    /// Its own chains, if any. The rules in the shared chain jump to the first.
    pub chains: Vec<String>,
    /// The beginning of the comment of each of its rules.
    pub comment: String,
}

impl Leftover<'_> {
    fn owns(&self, rule: &Rule) -> bool {
        rule.comment.as_ref().is_some_and(|comment| comment.starts_with(&self.comment))
    }

    fn is_entered_by(&self, rule: &Rule) -> bool {
        self.chains.first() == rule.leads_to.as_ref()
    }
}

/// Removes a leftover, all of it at once. Rules without its comment stay, and so does a chain that has such a rule or
/// is entered by one. Returns whether there was anything to remove; a kernel without nf_tables has nothing.
///
/// Equivalent to `nft delete rule … handle …` for each rule and `nft delete chain …` for each chain.
///
/// # Errors
/// [`Error::Refused`](linux::Error::Refused), with `EBUSY` when rules of other chains lead to one of the
/// chains, and [`Error::Netlink`](linux::Error::Netlink).
pub fn remove(nftables: &mut Nftables, leftover: &Leftover<'_>) -> Result<bool> {
    let operation = format_args!("remove what {:?} left in table {}", leftover.comment, leftover.table);
    let (mut attempts, mut refused) = (Attempts::default(), None);
    loop {
        let batch = match removal_of(nftables, leftover) {
            Ok(Some(batch)) => batch,
            Ok(None) => return Ok(false),
            Err(failed) if failed.is_missing_subsystem() => return Ok(false),
            Err(failed) => return Err(failed.during(operation)),
        };
        match nftables.transact(batch.clone()) {
            Ok(()) => return Ok(true),
            // Another process removed some of it.
            Err(failed) if failed.is(Errno::ENOENT) && attempts.next().is_some() => {}
            // A rule that jumps there was just added, unless the second look does not show it either.
            Err(failed) if failed.is(Errno::EBUSY) && refused.as_ref() != Some(&batch) => {
                refused = Some(batch);
            }
            Err(failed) => return Err(failed.during(operation)),
        }
    }
}

/// Returns the comments of a chain's rules.
///
/// Equivalent to `nft list chain TABLE CHAIN`.
///
/// # Errors
/// [`Error::Refused`](linux::Error::Refused) and [`Error::Netlink`](linux::Error::Netlink).
pub fn comments(nftables: &mut Nftables, table: Table, chain: &str) -> Result<Vec<String>> {
    match nftables.rules(table, Some(chain)) {
        Err(failed) if failed.is_missing_subsystem() => Ok(Vec::new()),
        Err(failed) => Err(failed.during(format_args!("list chain {chain} of table {table}"))),
        Ok(rules) => Ok(rules.into_iter().filter_map(|rule| rule.comment).collect()),
    }
}

fn removal_of(nftables: &mut Nftables, leftover: &Leftover<'_>) -> nft::Result<Option<Batch>> {
    let mut chains = Vec::new();
    for chain in &leftover.chains {
        if nftables.has_chain(leftover.table, chain)? {
            chains.push(chain);
        }
    }
    if chains.is_empty() && !leftover.chains.is_empty() {
        return Ok(None);
    }
    let mut batch = Batch::new(leftover.table);
    let entering = nftables
        .rules(leftover.table, Some(leftover.shared_chain))?
        .into_iter()
        .filter(|rule| leftover.is_entered_by(rule));
    let (own, others): (Vec<_>, Vec<_>) = entering.partition(|rule| leftover.owns(rule));
    own.iter().for_each(|rule| batch.delete_rule(leftover.shared_chain, rule.handle));
    let mut may_go = others.is_empty();
    let mut gone = Vec::new();
    for chain in chains {
        let rules = nftables.rules(leftover.table, Some(chain))?;
        let (own, others): (Vec<_>, Vec<_>) = rules.into_iter().partition(|rule| leftover.owns(rule));
        own.iter().for_each(|rule| batch.delete_rule(chain, rule.handle));
        may_go &= others.is_empty();
        gone.push(chain);
    }
    if may_go {
        gone.into_iter().for_each(|chain| batch.delete_chain(chain));
    }
    Ok(Some(batch).filter(|batch| batch.last() > 0))
}
