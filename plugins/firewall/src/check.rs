//! CHECK: the pod's rules are there, packets get to them, and its ingress policy is in force.

use attachment::{Result, differs};
use cni::{Failure, Request};
use nft::Nftables;

use crate::add::Wanted;
use crate::iptables::{self, CNI_FORWARD, table};
use crate::record;
use crate::rules::{self, Accept};

pub(crate) fn check(request: &Request) -> Result<()> {
    let result = request.prev_result.as_ref().ok_or_else(Failure::no_prev_result)?;
    let wanted = Wanted::of(request, result)?;
    let mut nftables = Nftables::open()?;
    let fault = fault(&mut nftables, &wanted)
        .map_err(|failed| failed.during(format_args!("check what is accepted for {}", wanted.claimant)))?;
    fault.map_or(Ok(()), differs)
}

/// Rules of a pod that the reference attached, or that were restored from a file, are found by a search.
fn fault(nftables: &mut Nftables, wanted: &Wanted) -> nft::Result<Option<String>> {
    for family in wanted.families() {
        if !iptables::is_entered(nftables, family)? {
            let table = table(family);
            return Ok(Some(format!("chain FORWARD does not lead to {CNI_FORWARD} (nf_tables, {table})")));
        }
        if !iptables::has_admin_jump(nftables, family, &wanted.admin_chain)? {
            let (chain, table) = (&wanted.admin_chain, table(family));
            return Ok(Some(format!("chain {CNI_FORWARD} does not lead to {chain} (nf_tables, {table})")));
        }
    }
    let record = record::find(nftables, &wanted.claimant)?.unwrap_or_default();
    let mut found = rules::recorded(nftables, &record.rules, &wanted.claimant)?;
    let accepts: Vec<_> = wanted.addresses.iter().copied().flat_map(Accept::of).collect();
    let mut is_complete = accepts.iter().all(|accept| found.iter().any(|(_, rule)| accept.is(rule)));
    if !is_complete {
        for family in wanted.families() {
            found.extend(rules::search(nftables, family, &wanted.claimant, &wanted.addresses)?);
        }
        is_complete = accepts.iter().all(|accept| found.iter().any(|(_, rule)| accept.is(rule)));
    }
    if !is_complete {
        let is_missing = |accept: &&Accept| !found.iter().any(|(_, rule)| accept.is(rule));
        return Ok(accepts.iter().find(is_missing).map(|accept| {
            let table = table(accept.family());
            format!(
                "{} is not accepted in both directions (nf_tables, chain {CNI_FORWARD} of {table})",
                accept.address
            )
        }));
    }
    match &wanted.isolation {
        Some(isolation) => isolation.fault(nftables, &wanted.claimant),
        None => Ok(None),
    }
}
