//! GC: remove the limits of attachments that are not valid any more.

use std::collections::{HashMap, HashSet};

use cni::{Attachment, Request, ValidAttachment, collected};
use limits::Direction;
use linux::{Link, NamespaceNumber, Rtnetlink};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::release::release;
use crate::{ifb, record, redirection};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    gc_removes_running: bool,
}

/// Goes by the aliases, which tell network, container and interface. Without one a device is either unfinished, and goes
/// when its maker is gone, or the reference's, whose name does not tell the network: that goes when no attachment that
/// is valid here would have it, no pair sends packets to it, and one did before: an ADD that is at work has not come so
/// far.
///
/// What a pair sends to such a device goes its own way again before the device goes, and a pair of another plugin gets back
/// the rest of what it had. Lists of valid attachments are incomplete in practice, so what limits a pod in whose namespace
/// processes live stays, and that is said, unless the config says otherwise.
pub(crate) fn gc(request: &Request) -> Result<()> {
    let Some(valid) = request.valid_attachments()? else { return Ok(()) };
    let config: Config = request.config()?;
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
    let mut leading = HashMap::new();
    if !ifbs.is_empty() {
        leading = leading_pairs(&mut kernel, &pairs).unwrap_or_else(|error| {
            errors.push(error);
            // What leads to them is not known.
            ifbs.clear();
            HashMap::new()
        });
    }
    errors.extend(redirection::collect_chains(&mut kernel));
    let mut collection = Collection::new(kernel, config.gc_removes_running);
    for ifb in ifbs {
        let pairs = leading.remove(&ifb.index).unwrap_or_default();
        errors.extend(collection.collect(&ifb, &pairs).unwrap_or_else(|error| vec![error]));
    }
    let of_others = pairs.iter().filter(|pair| record::is_only_shaped(pair));
    for pair in of_others.filter(|pair| names_stale(pair, &request.network, &valid) == Some(true)) {
        errors.extend(collection.release(pair).unwrap_or_else(|error| vec![error]));
    }
    collected(errors)
}

/// Whether the attachment that a link's alias names is one of the network that is not valid any more; none when it names
/// none.
fn names_stale(link: &Link, network: &str, valid: &[ValidAttachment]) -> Option<bool> {
    attachment::named(link).map(|owner| owner.is_in(network) && !owner.is_listed(network, valid))
}

/// Whether a device may go, as far as it tells itself. One that was unfinished when it was listed, and is finished now,
/// is of an ADD that ended since: the list of valid attachments is older.
///
/// Of a device of the reference's, the filter is asked for before the pairs are: an ADD of the reference's that is at work
/// leads a pair there first.
fn is_stale(host: &mut Rtnetlink, ifb: &Link, network: &str, valid: &[ValidAttachment]) -> Result<bool> {
    if ifb.is_unfinished() && !host.is_abandoned(ifb)? {
        return Ok(false);
    }
    match names_stale(ifb, network, valid) {
        Some(is_stale) => Ok(is_stale),
        None => Ok(may_be_stale(ifb, network, valid) && (ifb.is_unfinished() || had_a_pair(host, ifb)?)),
    }
}

/// Whether a device whose alias names no attachment is named as the reference names them, and not after a valid
/// attachment. One that is unfinished belongs to no attachment.
fn may_be_stale(ifb: &Link, network: &str, valid: &[ValidAttachment]) -> bool {
    let is_free = ifb.alias.as_deref().is_none_or(str::is_empty) || record::is_only_shaped(ifb);
    let is_listed = || valid.iter().any(|valid| ifb::names(&valid.in_network(network)).contains(&ifb.name));
    is_free && ifb::is_a_name(&ifb.name) && (ifb.is_unfinished() || !is_listed())
}

/// For each device those of the veth `pairs` that send packets to it.
fn leading_pairs<'a>(kernel: &mut Kernel<'_>, pairs: &'a [Link]) -> Result<HashMap<u32, Vec<&'a Link>>> {
    let mut leading = HashMap::<u32, Vec<&Link>>::new();
    for pair in pairs {
        for direction in [Direction::Ingress, Direction::Egress] {
            for (device, _) in redirection::targets(kernel, pair, direction)? {
                leading.entry(device).or_default().push(pair);
            }
        }
    }
    Ok(leading)
}

/// The removal of devices and limits, one by one.
struct Collection<'k> {
    kernel: Kernel<'k>,
    removes_running: bool,
    /// The namespaces in which processes live, once that was asked.
    inhabited: Option<HashSet<NamespaceNumber>>,
    /// The pairs that were spared.
    spared: HashSet<u32>,
}

impl<'k> Collection<'k> {
    fn new(kernel: Kernel<'k>, removes_running: bool) -> Self {
        Self { kernel, removes_running, inhabited: None, spared: HashSet::new() }
    }

    /// Removes a device, after what leads there. Returns what the kernel refused.
    fn collect(&mut self, ifb: &Link, pairs: &[&Link]) -> Result<Vec<Error>> {
        let owner = attachment::named(ifb);
        let is_references = owner.is_none() && !ifb.is_unfinished();
        if is_references && !pairs.is_empty() {
            return Ok(Vec::new());
        }
        for pair in pairs {
            if self.spares(pair, owner.as_ref())? {
                return Ok(Vec::new());
            }
        }
        let mut errors = Vec::new();
        for pair in pairs {
            errors.extend(release(&mut self.kernel, pair, std::slice::from_ref(ifb), owner.as_ref()));
        }
        // Packets must not go to a device that is gone.
        if errors.is_empty() {
            errors.extend(self.kernel.host.delete_link(ifb.index).err().map(Error::from));
        }
        Ok(errors)
    }

    /// Releases the pair of another plugin that an attachment left. Returns what the kernel refused.
    fn release(&mut self, pair: &Link) -> Result<Vec<Error>> {
        let owner = attachment::named(pair);
        if self.spares(pair, owner.as_ref())? {
            return Ok(Vec::new());
        }
        Ok(release(&mut self.kernel, pair, &[], owner.as_ref()))
    }

    /// Whether a pair leads to a namespace in which processes live, and that counts. Says so once.
    fn spares(&mut self, pair: &Link, owner: Option<&Attachment>) -> Result<bool> {
        if self.removes_running {
            return Ok(false);
        }
        let inhabited = match self.inhabited.take() {
            Some(inhabited) => inhabited,
            None => self.kernel.host.inhabited_namespaces()?,
        };
        let is_running = pair.leads_into(&inhabited);
        self.inhabited = Some(inhabited);
        if is_running && self.spared.insert(pair.index) {
            let owner = owner.map(|owner| format!(" ({owner})")).unwrap_or_default();
            cni::note(format_args!(
                "bandwidth: GC leaves the limits of {}{owner} alone: cni.dev/valid-attachments does not list the \
                 attachment, but processes live in the network namespace that {0} leads to; gcRemovesRunning: true \
                 removes them",
                pair.name
            ));
        }
        Ok(is_running)
    }
}

/// Whether a pair sent packets to the device once. The reference gives it its filter only after that; ours has
/// one before, and shows it by what has passed.
fn had_a_pair(host: &mut Rtnetlink, ifb: &Link) -> Result<bool> {
    let Some(qdisc) = host.root_qdisc(ifb.index)? else { return Ok(false) };
    Ok(qdisc.tbf.is_some() && (!qdisc.tells_ethernet || qdisc.statistics.packets > 0))
}
