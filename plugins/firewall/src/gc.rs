//! GC: removes what is of attachments that are not valid.

use std::collections::{HashMap, HashSet};

use attachment::{Result, RunningPods, claimant_of, is_claimant_in, named};
use cni::{Failure, Request, collected};
use linux::{Error, Link, Rtnetlink};
use nft::{Claimant, Nftables};

use crate::iptables::{CNI_FORWARD, FAMILIES, table};
use crate::{del, isolation, record, rules};

/// What is of an attachment.
struct Entry {
    claimant: Claimant,
    /// Whether its ADD has come to its end. Not known of a pod without an address.
    is_recorded: bool,
    host_end: Option<String>,
}

/// Entries are listed before the pairs: the pair of an ADD that is at work is then among those that are listed.
///
/// A running pod keeps its entries, as it keeps its pair. The reference's rules do not tell their network, and stay
/// until DEL.
pub(crate) fn gc(request: &Request) -> Result<()> {
    let Some(valid) = request.valid_attachments()? else { return Ok(()) };
    let network = &request.network;
    let mut nftables = match Nftables::open() {
        Err(Error::MissingFeature { .. }) => return Ok(()),
        nftables => nftables?,
    };
    let valid: HashSet<_> = valid.iter().map(|it| claimant_of(&it.in_network(network)).digest).collect();
    let listing = format_args!("list what is accepted for pods");
    let entries = match entries(&mut nftables) {
        Err(failed) if failed.is_missing_subsystem() => return Ok(()),
        entries => entries.map_err(|failed| failed.during(listing))?,
    };
    let bridges = isolation::bridges(&mut nftables).map_err(|failed| failed.during(listing))?;
    let is_stale =
        |entry: &Entry| is_claimant_in(&entry.claimant, network) && !valid.contains(&entry.claimant.digest);
    let stale: Vec<_> = entries.into_iter().filter(is_stale).collect();
    if stale.is_empty() && bridges.is_empty() {
        return Ok(());
    }
    let mut host = Rtnetlink::open()?;
    let pairs = host.links_of_kind("veth")?;
    let mut errors: Vec<Failure> = Vec::new();
    let mut running = RunningPods::of(request);
    for entry in stale {
        let mut failed: Vec<attachment::Error> = Vec::new();
        let pair = pairs.iter().find(|pair| is_pair_of(pair, &entry));
        let is_spared =
            pair.is_some_and(|pair| !entry.is_recorded || running.spare(pair, &mut host, &mut failed));
        if !is_spared {
            failed.extend(del::remove(&mut nftables, &entry.claimant, &[], entry.host_end.as_deref()).err());
        }
        errors.extend(failed.into_iter().map(Failure::from));
    }
    for bridge in bridges {
        let removed = match host.link_by_name(&bridge) {
            Ok(None) => isolation::delete_bridge(&mut nftables, &bridge)
                .map_err(|failed| failed.during(format_args!("forget bridge {bridge}"))),
            found => found.map(drop),
        };
        errors.extend(removed.err().map(|error| Failure::from(attachment::Error::from(error))));
    }
    Ok(collected(errors)?)
}

fn is_pair_of(pair: &Link, entry: &Entry) -> bool {
    entry.host_end.as_ref() == Some(&pair.name)
        || named(pair).is_some_and(|owner| claimant_of(&owner).digest == entry.claimant.digest)
}

/// Returns what the records tell, and what killed ADDs left without one.
fn entries(nftables: &mut Nftables) -> nft::Result<Vec<Entry>> {
    let mut entries = HashMap::new();
    for family in FAMILIES {
        for claimant in nftables.rules(table(family), Some(CNI_FORWARD))?.iter().filter_map(rules::claimant) {
            entries.insert(claimant.digest, Entry { claimant, is_recorded: false, host_end: None });
        }
    }
    // A port is written with the record, which is lost then.
    for (claimant, port) in isolation::ports(nftables)? {
        entries.insert(claimant.digest, Entry { claimant, is_recorded: true, host_end: Some(port) });
    }
    for (claimant, record) in record::list(nftables)? {
        let is_recorded = !record.rules.is_empty();
        let entry = Entry { claimant, is_recorded, host_end: record.host_end };
        entries.insert(entry.claimant.digest, entry);
    }
    Ok(entries.into_values().collect())
}
