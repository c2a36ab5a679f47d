//! GC: removes the limits of attachments that are not valid any more.

use std::collections::{HashMap, HashSet};

use attachment::RunningPods;
use cni::{Attachment, Request, ValidAttachment, collected};
use limits::Direction;
use linux::{Link, Rtnetlink};

use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::release::release;
use crate::{ifb, record, redirection};

/// The aliases name network, container and interface. A device without one is unfinished, and goes when its maker is gone;
/// or it is the reference's, which has no network in its name, and goes when it is named after no valid attachment, no pair
/// is redirected to it, and one was before: an ADD at work has not come so far.
///
/// The redirection to a device is stopped before the device goes, and the pair of another plugin is left as it was before
/// ADD. Lists of valid attachments are incomplete in practice, so the limits of a pod stay, with a note, while processes
/// live in its namespace, unless the config has `gcRemovesRunning`.
pub(crate) fn gc(request: &Request) -> Result<()> {
    let Some(valid) = request.valid_attachments()? else { return Ok(()) };
    let mut host = Rtnetlink::open()?;
    let (mut ifbs, mut errors) = (Vec::new(), Vec::new());
    for ifb in host.links_of_kind("ifb")? {
        match is_stale(&mut host, &ifb, &request.network, &valid) {
            Ok(true) => ifbs.push(ifb),
            Ok(false) => {}
            Err(error) => errors.push(error),
        }
    }
    let pairs = host.links_of_kind("veth")?;
    let mut kernel = Kernel::new(&mut host);
    let mut redirected = HashMap::new();
    if !ifbs.is_empty() {
        redirected = redirected_pairs(&mut kernel, &pairs).unwrap_or_else(|error| {
            errors.push(error);
            // The pairs that are redirected to them are unknown.
            ifbs.clear();
            HashMap::new()
        });
    }
    errors.extend(redirection::collect_chains(&mut kernel));
    let running = RunningPods::of(request);
    let mut collection = Collection { kernel, running, noted: HashSet::new(), errors };
    for ifb in ifbs {
        collection.collect(&ifb, &redirected.remove(&ifb.index).unwrap_or_default());
    }
    let shaped = pairs.iter().filter(|pair| record::is_only_shaped(pair));
    for pair in shaped.filter(|pair| names_stale(pair, &request.network, &valid) == Some(true)) {
        collection.release(pair);
    }
    collected(collection.errors)
}

/// Whether the alias of a link names an attachment of the network that is not valid any more; none when it names none.
fn names_stale(link: &Link, network: &str, valid: &[ValidAttachment]) -> Option<bool> {
    attachment::named(link).map(|owner| owner.is_in(network) && !owner.is_listed(network, valid))
}

/// Whether a device may go by its own state. One that was unfinished when it was listed, and is finished now, is of an ADD
/// that ended since: the list of valid attachments is older.
///
/// The filter of a reference's device is read before the pairs are: an ADD of the reference at work redirects a pair
/// first.
fn is_stale(host: &mut Rtnetlink, ifb: &Link, network: &str, valid: &[ValidAttachment]) -> Result<bool> {
    if ifb.is_unfinished() && !host.is_abandoned(ifb)? {
        return Ok(false);
    }
    match names_stale(ifb, network, valid) {
        Some(is_stale) => Ok(is_stale),
        None => Ok(may_be_stale(ifb, network, valid) && (ifb.is_unfinished() || had_a_pair(host, ifb)?)),
    }
}

/// Whether a device without an attachment in its alias has a name as the reference gives, and not after a valid attachment.
/// An unfinished one belongs to no attachment.
fn may_be_stale(ifb: &Link, network: &str, valid: &[ValidAttachment]) -> bool {
    let is_free = ifb.alias.as_deref().is_none_or(str::is_empty) || record::is_only_shaped(ifb);
    let is_listed = || valid.iter().any(|valid| ifb::names(&valid.in_network(network)).contains(&ifb.name));
    is_free && ifb::is_a_name(&ifb.name) && (ifb.is_unfinished() || !is_listed())
}

/// Returns for each device the veth `pairs` that are redirected to it.
fn redirected_pairs<'a>(kernel: &mut Kernel<'_>, pairs: &'a [Link]) -> Result<HashMap<u32, Vec<&'a Link>>> {
    let mut redirected = HashMap::<u32, Vec<&Link>>::new();
    for pair in pairs {
        for direction in [Direction::Ingress, Direction::Egress] {
            for (device, _) in redirection::targets(kernel, pair, direction)? {
                redirected.entry(device).or_default().push(pair);
            }
        }
    }
    Ok(redirected)
}

/// The removal of devices and limits, one by one.
struct Collection<'k> {
    kernel: Kernel<'k>,
    running: RunningPods,
    /// The pairs of running pods that a note has named.
    noted: HashSet<u32>,
    errors: Vec<Error>,
}

impl Collection<'_> {
    /// Removes a device, after the redirections to it.
    fn collect(&mut self, ifb: &Link, pairs: &[&Link]) {
        let owner = attachment::named(ifb);
        let is_reference = owner.is_none() && !ifb.is_unfinished();
        if (is_reference && !pairs.is_empty()) || pairs.iter().any(|pair| self.spares(pair, owner.as_ref())) {
            return;
        }
        let ifbs = std::slice::from_ref(ifb);
        let release = |pair: &&Link| release(&mut self.kernel, pair, ifbs, owner.as_ref());
        let errors: Vec<Error> = pairs.iter().flat_map(release).collect();
        // A redirection to a device that is gone would drop packets.
        if errors.is_empty() {
            self.errors.extend(self.kernel.host.delete_link(ifb.index).err().map(Error::from));
        }
        self.errors.extend(errors);
    }

    /// Releases the pair of another plugin that an attachment left.
    fn release(&mut self, pair: &Link) {
        let owner = attachment::named(pair);
        if !self.spares(pair, owner.as_ref()) {
            self.errors.extend(release(&mut self.kernel, pair, &[], owner.as_ref()));
        }
    }

    /// Whether a pair stays because its pod is running. Notes it once.
    fn spares(&mut self, pair: &Link, owner: Option<&Attachment>) -> bool {
        let is_spared = self.running.spare(pair, self.kernel.host, &mut self.errors);
        if is_spared && self.noted.insert(pair.index) {
            let owner = owner.map(|owner| format!(" ({owner})")).unwrap_or_default();
            cni::note(format_args!(
                "bandwidth: GC leaves the limits of {}{owner} alone: cni.dev/valid-attachments does not list the \
                 attachment, but processes live in its network namespace; gcRemovesRunning: true removes them",
                pair.name
            ));
        }
        is_spared
    }
}

/// Whether a pair was redirected to the device once. The reference creates the filter only after that; weir before, and
/// then the filter shows whether packets have passed.
fn had_a_pair(host: &mut Rtnetlink, ifb: &Link) -> Result<bool> {
    let Some(qdisc) = host.root_qdisc(ifb.index)? else { return Ok(false) };
    Ok(qdisc.tbf.is_some() && (!qdisc.tells_ethernet || qdisc.statistics.packets > 0))
}
