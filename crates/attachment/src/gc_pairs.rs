//! The pairs that GC deletes, and those that it spares although they are not listed as valid.

use std::collections::HashSet;

use cni::{Attachment, Request, ValidAttachment};
use linux::{Link, Rtnetlink};

use crate::error::{Error, Result};
use crate::owner::created_for;
use crate::pair;
use crate::running::RunningPods;

/// The pairs that stay although they are not valid, and the errors.
#[derive(Default)]
pub(crate) struct Kept {
    /// Their attachments: those of running pods, those of ADDs beside GC, and those that could not be deleted.
    pub attachments: Vec<Attachment>,
    /// An ADD is making a pair that has no alias yet.
    pub is_unnamed: bool,
    /// Errors in looking at pairs and in deleting them.
    pub errors: Vec<Error>,
}

impl Kept {
    /// Returns whether all of them can be named: an alias has no room for the longest container IDs.
    pub fn is_complete(&self) -> bool {
        !self.is_unnamed && self.attachments.iter().all(|kept| kept.as_valid().is_some())
    }
}

/// Returns the indices of the pairs that no ADD is making.
///
/// # Errors
/// When the pairs cannot be listed.
pub(crate) fn finished() -> Result<HashSet<u32>> {
    let pairs = Rtnetlink::open()?.links_of_kind("veth")?;
    Ok(pairs.iter().filter(|pair| !pair.is_unfinished()).map(|pair| pair.index).collect())
}

/// Deletes the pairs of the network's attachments that are not valid, and those that killed ADDs left without an alias.
///
/// The pairs are found by their aliases, whatever bridge they are in: the config may have changed. Lists of valid
/// attachments lack running pods in practice (several runtimes with one network, a runtime that lost its cache): a pair
/// that leads into a namespace with processes stays, unless the config has `gcRemovesRunning`. The pair of a killed ADD
/// is deleted in any case: the pod never had it. A pair stays that was not `finished` at the first look.
///
/// # Errors
/// When the pairs cannot be listed.
pub(crate) fn delete_stale(
    request: &Request,
    valid: &[ValidAttachment],
    finished: &HashSet<u32>,
) -> Result<Kept> {
    let network = &request.network;
    let mut collection = Collection { network, host: Rtnetlink::open()?, kept: Kept::default() };
    let mut running = RunningPods::of(request);
    for link in collection.host.links_of_kind("veth")? {
        let owner = created_for(&link);
        let is_stale =
            owner.as_ref().is_some_and(|owner| owner.is_in(network) && !owner.is_listed(network, valid));
        let is_unnamed = owner.is_none() && link.is_unfinished();
        if !is_stale && !is_unnamed {
            continue;
        }
        let is_abandoned = collection.host.is_abandoned(&link).unwrap_or_else(|error| {
            collection.kept.errors.push(error.into());
            false
        });
        if is_abandoned {
            collection.delete(&link, owner);
        } else if link.is_unfinished() || !finished.contains(&link.index) {
            collection.keep(owner);
        } else if running.spare(&link, &mut collection.host, &mut collection.kept.errors) {
            note_spared(request, &link, owner.as_ref());
            collection.keep(owner);
        } else {
            collection.delete(&link, owner);
        }
    }
    Ok(collection.kept)
}

struct Collection<'a> {
    network: &'a str,
    host: Rtnetlink,
    kept: Kept,
}

impl Collection<'_> {
    fn delete(&mut self, link: &Link, owner: Option<Attachment>) {
        if let Err(error) = pair::delete(&mut self.host, link.index) {
            self.kept.errors.push(error);
            self.keep(owner);
        }
    }

    fn keep(&mut self, owner: Option<Attachment>) {
        self.kept.is_unnamed |= owner.is_none();
        // The alias may have no room for the network's whole name, which the entries in nf_tables have.
        self.kept
            .attachments
            .extend(owner.map(|owner| Attachment { network: self.network.to_owned(), ..owner }));
    }
}

fn note_spared(request: &Request, link: &Link, owner: Option<&Attachment>) {
    let owner = owner.map(ToString::to_string).unwrap_or_default();
    cni::note(format_args!(
        "{}: GC leaves {} ({owner}) alone: it is not among the valid attachments, but processes live in its network namespace; \"gcRemovesRunning\": true removes it",
        request.plugin(),
        link.name,
    ));
}
