//! CHECK: every port of the config leads to this pod, and the rules on the way are in place.

use attachment::{Result, differs};
use cni::{Failure, Request};
use linux::sysctl;
use nft::{Data, Nftables, Rule};

use crate::config::Settings;
use crate::forward::Forward;
use crate::holders::holder;
use crate::record::{self, Record};
use crate::table::{GUARD, HOOKED, HOST_PORTS, Maps, POSTROUTING, TABLE};
use crate::{localnet, reference};

pub(crate) fn check(request: &Request) -> Result<()> {
    let settings = Settings::of(request)?;
    let previous = request.prev_result.as_ref().ok_or_else(Failure::no_prev_result)?;
    let forwards = settings.forwards(request, previous)?;
    if forwards.is_empty() {
        return Ok(());
    }
    let mut nftables = Nftables::open()?;
    let failed = |failed: nft::Failed| failed.during(format_args!("check the forwarded ports"));
    let owner = record::owner(request);
    let is_ours = Record::find(&mut nftables, owner.digest).map_err(failed)?.is_some();
    // A runtime may check pods that the reference attached before it was replaced.
    if !is_ours && reference::serves(&mut nftables, request).map_err(failed)? {
        return Ok(());
    }
    for forward in &forwards {
        check_elements(&mut nftables, owner.digest, forward).map_err(failed)?.map_or(Ok(()), differs)?;
    }
    let rules = nftables.rules(TABLE, None).map_err(failed)?;
    if nftables.is_dormant(TABLE).map_err(failed)? == Some(true) {
        return differs(format_args!("table {TABLE} is dormant (nf_tables), so no port is forwarded"));
    }
    for forward in &forwards {
        check_rules(&rules, owner.digest, forward).map_or(Ok(()), differs)?;
    }
    if let Some(parameter) =
        localnet::parameter(&forwards)?.filter(|name| sysctl::get(name).is_ok_and(|on| on != "1"))
    {
        return differs(format_args!(
            "sysctl {parameter} is not 1 any more, so 127.0.0.1 has no forwarded ports"
        ));
    }
    Ok(())
}

/// Returns what is missing of a port.
fn check_elements(
    nftables: &mut Nftables,
    owner: nft::Digest,
    forward: &Forward,
) -> nft::Result<Option<String>> {
    let missing = || format!("{} is not forwarded any more (nf_tables, table {TABLE})", forward.name());
    let claims = [forward.port_claim(owner), forward.pod_claim(owner)];
    match holder(nftables, &claims[0])? {
        Some(holder) if holder == owner => {}
        Some(other) => {
            let other = Record::find(nftables, other)?
                .map(|record| format!(", {}", record.owner))
                .unwrap_or_default();
            let name = forward.name();
            return Ok(Some(format!(
                "{name} is forwarded to another container{other} (nf_tables, table {TABLE})"
            )));
        }
        None => return Ok(Some(missing())),
    }
    if holder(nftables, &claims[1])? != Some(owner) {
        return Ok(Some(missing()));
    }
    for element in claims.iter().flat_map(|claim| &claim.elements) {
        let found = nftables.element(TABLE, &element.set, &element.key, |found| match &element.data {
            Data::Value(wanted) => found.data() == wanted,
            _ => true,
        })?;
        if found != Some(true) {
            return Ok(Some(missing()));
        }
    }
    Ok(None)
}

/// Returns which rule is missing on the way of a port's packets.
fn check_rules(rules: &[Rule], owner: nft::Digest, forward: &Forward) -> Option<String> {
    let maps = Maps { family: forward.family(), conditions: forward.conditions };
    let leads = |from: &str, to: &str| {
        rules.iter().any(|rule| rule.chain == from && (from == to || rule.leads_to.as_deref() == Some(to)))
    };
    let looks = |chain: &str, set: &str| {
        rules.iter().any(|rule| rule.chain == chain && rule.sets.iter().any(|name| name == set))
    };
    let claims = [forward.port_claim(owner), forward.pod_claim(owner)];
    let without = claims.iter().flat_map(|claim| &claim.elements).find_map(|element| {
        let chain = if matches!(element.data, Data::None) { POSTROUTING } else { maps.chain() };
        (!looks(chain, &element.set)).then_some(chain)
    });
    let broken = HOOKED.into_iter().find(|hook| !leads(hook, HOST_PORTS));
    let unreached = (!leads(HOST_PORTS, maps.chain())).then_some(HOST_PORTS);
    let unguarded = (forward.sources.loopback
        && rules.iter().filter(|rule| rule.chain == GUARD && rule.drops).count() < 2)
        .then_some(GUARD);
    let chain = without.or(broken).or(unreached).or(unguarded)?;
    Some(format!(
        "a rule of chain {chain} is gone (nf_tables, table {TABLE}), for other pods too; after nft delete table {TABLE}, \
         pods that are attached anew have their ports again"
    ))
}
