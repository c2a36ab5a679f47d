//! GC: remove the ifbs of attachments that are not valid any more.

use std::collections::{HashMap, HashSet};

use cni::{Request, ValidAttachment};
use linux::{Hook, Link, NamespaceNumber, Rtnetlink};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::release::release;
use crate::{ifb, record};

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
/// What a pair sends to such a device goes its own way again before the device goes. Lists of valid attachments are
/// incomplete in practice, so a device to which a pod's pair leads in whose namespace processes live stays, and that is
/// said, unless the config says otherwise.
pub(crate) fn gc(request: &Request) -> Result<()> {
    let Some(valid) = request.valid_attachments()? else { return Ok(()) };
    let config: Config = request.config()?;
    let mut host = Rtnetlink::open()?;
    let mut stale = Vec::new();
    for ifb in host.ifbs()? {
        if is_stale(&host, &ifb, &request.network, &valid)? {
            stale.push(ifb);
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    let mut leading = leading_pairs(&mut host)?;
    let mut collection = Collection { host, removes_running: config.gc_removes_running, inhabited: None };
    let mut errors = Vec::new();
    for ifb in stale {
        let pairs = leading.remove(&ifb.index).unwrap_or_default();
        errors.extend(collection.collect(&ifb, &pairs).unwrap_or_else(|error| vec![error]));
    }
    Error::of_all(errors)
}

/// Whether a device may go, as far as it tells itself.
fn is_stale(host: &Rtnetlink, ifb: &Link, network: &str, valid: &[ValidAttachment]) -> Result<bool> {
    if host.is_being_made(ifb)? {
        return Ok(false);
    }
    Ok(match record::attachment(ifb) {
        Some(owner) => owner.is_in(network) && !owner.is_listed(network, valid),
        None => may_be_stale(ifb, network, valid),
    })
}

/// Whether a device whose alias names no attachment is named as the reference names them, and not after a valid
/// attachment. One that is unfinished belongs to no attachment.
fn may_be_stale(ifb: &Link, network: &str, valid: &[ValidAttachment]) -> bool {
    let is_free = ifb.alias.as_deref().is_none_or(str::is_empty) || record::is_only_shaped(ifb);
    let is_listed = || valid.iter().any(|valid| ifb::names(&valid.in_network(network)).contains(&ifb.name));
    is_free && ifb::is_a_name(&ifb.name) && (ifb.is_unfinished() || !is_listed())
}

/// For each device the veth pairs that send packets to it.
fn leading_pairs(host: &mut Rtnetlink) -> Result<HashMap<u32, Vec<Link>>> {
    let mut leading = HashMap::<u32, Vec<Link>>::new();
    for pair in host.links_of_kind("veth")? {
        for hook in [Hook::Ingress, Hook::Egress] {
            for device in host.redirects(pair.index, hook)? {
                leading.entry(device).or_default().push(pair.clone());
            }
        }
    }
    Ok(leading)
}

/// The devices that go, one by one.
struct Collection {
    host: Rtnetlink,
    removes_running: bool,
    /// The namespaces in which processes live, once somebody asked.
    inhabited: Option<HashSet<NamespaceNumber>>,
}

impl Collection {
    /// Removes a device, after what leads there. Returns what the kernel refused.
    fn collect(&mut self, ifb: &Link, pairs: &[Link]) -> Result<Vec<Error>> {
        let owner = record::attachment(ifb);
        let is_references = owner.is_none() && !ifb.is_unfinished();
        if is_references && (!pairs.is_empty() || !had_a_pair(&mut self.host, ifb)?) {
            return Ok(Vec::new());
        }
        if let Some(pair) = self.running(pairs)? {
            let owner =
                owner.map_or_else(|| "which does not tell whose it is".to_owned(), |it| it.to_string());
            cni::note(format_args!(
                "bandwidth: GC leaves {} alone ({owner}): it is not in cni.dev/valid-attachments, but processes live in \
                 the network namespace that {} leads to; gcRemovesRunning: true removes it",
                ifb.name, pair.name
            ));
            return Ok(Vec::new());
        }
        let mut errors = Vec::new();
        for pair in pairs {
            errors.extend(release(&mut self.host, pair, std::slice::from_ref(ifb), owner.as_ref()));
        }
        // Packets must not go to a device that is gone.
        if errors.is_empty() {
            errors.extend(self.host.delete_link(ifb.index).err().map(Error::from));
        }
        Ok(errors)
    }

    /// The first of the pairs that leads to a namespace in which processes live, unless that does not count.
    fn running<'a>(&mut self, pairs: &'a [Link]) -> Result<Option<&'a Link>> {
        if self.removes_running || pairs.is_empty() {
            return Ok(None);
        }
        if self.inhabited.is_none() {
            self.inhabited = Some(self.host.inhabited_namespaces()?);
        }
        let inhabited = self.inhabited.as_ref();
        Ok(pairs.iter().find(|pair| inhabited.is_some_and(|inhabited| pair.leads_into(inhabited))))
    }
}

/// Whether a pair sent packets to the device once. The reference gives it its filter only after that; ours has
/// one before, and shows it by what has passed.
fn had_a_pair(host: &mut Rtnetlink, ifb: &Link) -> Result<bool> {
    let Some(qdisc) = host.root_qdisc(ifb.index)? else { return Ok(false) };
    Ok(qdisc.tbf.is_some() && (!qdisc.tells_ethernet || qdisc.statistics.packets > 0))
}
