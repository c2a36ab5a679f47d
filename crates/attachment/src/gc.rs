//! GC: remove the objects that name an attachment of this network which is not valid.

use std::collections::HashSet;

use cni::{Answer, Failure, Request, ValidAttachment};
use nft::{Claimant, Nftables};

use crate::claimant::{claimant_of, is_claimant_in};
use crate::config::ipam_of;
use crate::del::open_nftables;
use crate::error::{Error, Result};
use crate::gc_pairs::{self, Kept};
use crate::masquerade;
use crate::reference;

/// One GC. It deletes only pairs that were finished at its first look: the list of valid attachments cannot have those
/// of ADDs that end later. Entries in nf_tables are listed after that, and before the pairs are listed again: the pair
/// of a listed entry is then known.
pub struct Collection<'a> {
    request: &'a Request,
    /// None where the runtime lists nothing: then nothing may be removed here.
    valid: Option<Vec<ValidAttachment>>,
    /// None in a kernel without nf_tables, and after an error.
    nftables: Option<Nftables>,
    /// The indices of the pairs that were finished at the first look; empty after an error.
    finished: HashSet<u32>,
    masqueraded: Vec<Claimant>,
    kept: Kept,
    errors: Vec<Failure>,
}

impl<'a> Collection<'a> {
    /// Lists the masquerade entries of all networks' attachments.
    ///
    /// # Errors
    /// When the list of valid attachments cannot be read.
    pub fn begin(request: &'a Request) -> Result<Self> {
        let valid = request.valid_attachments()?;
        let (nftables, finished, kept) = (None, HashSet::new(), Kept::default());
        let mut collection =
            Self { request, valid, nftables, finished, masqueraded: Vec::new(), kept, errors: Vec::new() };
        if collection.valid.is_some() {
            match gc_pairs::finished() {
                Ok(finished) => collection.finished = finished,
                Err(error) => collection.errors.push(error.into()),
            }
            match open_nftables() {
                Ok(nftables) => collection.nftables = nftables,
                Err(error) => collection.errors.push(error.into()),
            }
            collection.masqueraded =
                collection.list(|nftables| masquerade::list(nftables).map_err(Error::from));
        }
        Ok(collection)
    }

    /// Lists the plugin's own entries in nf_tables. After an error no entry is removed.
    pub fn list<T, E: Into<Failure>>(
        &mut self,
        list: impl FnOnce(&mut Nftables) -> std::result::Result<Vec<T>, E>,
    ) -> Vec<T> {
        let Some(nftables) = &mut self.nftables else { return Vec::new() };
        list(nftables).unwrap_or_else(|error| {
            self.errors.push(error.into());
            self.nftables = None;
            Vec::new()
        })
    }

    /// Deletes the pairs of attachments that are not valid. When the pairs cannot be listed, nothing else is removed.
    pub fn delete_pairs(&mut self) {
        if let Some(valid) = &self.valid {
            self.kept = gc_pairs::delete_stale(self.request, valid, &self.finished)
                .unwrap_or_else(|error| Kept { is_unnamed: true, errors: vec![error], ..Kept::default() });
            self.errors.extend(self.kept.errors.drain(..).map(Failure::from));
        }
        if !self.kept.is_complete() {
            self.nftables = None;
        }
    }

    /// Removes those of the listed `entries` that belong neither to a valid nor to a kept attachment.
    pub fn remove_stale<T, E: Into<Failure>>(
        &mut self,
        entries: Vec<T>,
        claimant: impl Fn(&T) -> &Claimant,
        mut remove: impl FnMut(&mut Nftables, &T) -> std::result::Result<(), E>,
    ) {
        let Some(nftables) = &mut self.nftables else { return };
        let network = &self.request.network;
        let valid = self.valid.iter().flatten().map(|valid| valid.in_network(network));
        let alive: HashSet<_> =
            valid.chain(self.kept.attachments.iter().cloned()).map(|it| claimant_of(&it).digest).collect();
        let is_stale =
            |claimant: &Claimant| is_claimant_in(claimant, network) && !alive.contains(&claimant.digest);
        for entry in entries.iter().filter(|entry| is_stale(claimant(entry))) {
            self.errors.extend(remove(nftables, entry).err().map(Into::into));
        }
    }

    /// Removes the masquerade entries, and what the reference plugins left, and hands GC on to the IPAM plugin.
    ///
    /// # Errors
    /// Everything that could not be removed.
    pub fn end(mut self) -> Answer<()> {
        let masqueraded = std::mem::take(&mut self.masqueraded);
        self.remove_stale(
            masqueraded,
            |claimant| claimant,
            |nftables, claimant| masquerade::remove(nftables, claimant).map(drop).map_err(Error::from),
        );
        if let Some(nftables) = &mut self.nftables {
            let mut valid = self.valid.unwrap_or_default();
            valid.extend(self.kept.attachments.iter().filter_map(cni::Attachment::as_valid));
            let errors = reference::collect(nftables, &self.request.network, &valid);
            self.errors.extend(errors.into_iter().map(Failure::from));
        }
        self.errors.extend(collect_addresses(self.request, &self.kept).err().map(Failure::from));
        cni::collected(self.errors)
    }
}

/// Hands GC on to the IPAM plugin, for which the kept attachments are valid: their addresses are in use.
fn collect_addresses(request: &Request, kept: &Kept) -> Result<()> {
    if !kept.is_complete() {
        cni::note(format_args!(
            "{}: GC leaves addresses and nf_tables entries of network {} to the next one: an attachment that stays cannot be named yet",
            request.plugin(),
            request.network,
        ));
        return Ok(());
    }
    let Some(ipam) = ipam_of(request)? else { return Ok(()) };
    let valid: Vec<_> = kept.attachments.iter().filter_map(cni::Attachment::as_valid).collect();
    Ok(request.delegate(&ipam)?.gc(&valid)?)
}
