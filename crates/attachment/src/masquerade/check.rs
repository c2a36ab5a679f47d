//! CHECK: compares the table with what it should hold.

use ipnetwork::IpNetwork;
use linux::Result;
use nft::{Claimant, Digest, Nftables, octets};

use super::base::{POSTROUTING, TABLE};
use super::holder;
use super::record::Holder;
use super::subnet::Subnet;

/// Checks whether `claimant` masquerades each of `addresses` and whether the rules on the way are in place. Returns what is
/// missing.
///
/// Reads what `nft list table inet weir` shows of these addresses and no other.
///
/// # Errors
/// [`Error::Refused`](linux::Error::Refused) and [`Error::Netlink`](linux::Error::Netlink).
pub fn check(
    nftables: &mut Nftables,
    claimant: &Claimant,
    addresses: &[IpNetwork],
) -> Result<Option<String>> {
    for pod in addresses {
        let fault = check_address(nftables, claimant.digest, *pod)
            .map_err(|failed| failed.during(format_args!("check the masquerading of {claimant}")))?;
        if fault.is_some() {
            return Ok(fault);
        }
    }
    Ok(None)
}

fn check_address(nftables: &mut Nftables, owner: Digest, pod: IpNetwork) -> nft::Result<Option<String>> {
    let (subnet, address) = (Subnet::of(pod), pod.ip());
    let holder = holder(nftables, address)?;
    if holder.is_some_and(|holder| holder != (Holder { owner, prefix: pod.prefix() })) {
        return Ok(Some(format!("{address} is masqueraded for another attachment (nf_tables, {TABLE})")));
    }
    if holder.is_none() || nftables.element(TABLE, &subnet.pods(), &octets(address), |_| ())?.is_none() {
        return Ok(Some(format!("{address} is not masqueraded (nf_tables, {TABLE})")));
    }
    let rule_missing = |chain: &str| {
        Ok(Some(format!(
            "the masquerading rule of chain {chain} is gone (nf_tables, {TABLE}), for other pods too; after nft delete \
             table {TABLE}, pods that are attached anew are masqueraded again"
        )))
    };
    let mut masquerading_chain = POSTROUTING.to_owned();
    if !subnet.is_host() {
        masquerading_chain = subnet.chain();
        let network = octets(subnet.network().ip());
        let leads_there = nftables.element(TABLE, &subnet.dispatch(), &network, |element| {
            element.chain() == Some(masquerading_chain.as_bytes())
        })?;
        if leads_there != Some(true) || !has_rule(nftables, POSTROUTING, &subnet.dispatch(), false)? {
            return rule_missing(POSTROUTING);
        }
    }
    if !has_rule(nftables, &masquerading_chain, &subnet.pods(), true)? {
        return rule_missing(&masquerading_chain);
    }
    Ok(None)
}

/// Returns whether a rule of `chain` looks into `set` and, if asked for, masquerades.
fn has_rule(nftables: &mut Nftables, chain: &str, set: &str, masquerades: bool) -> nft::Result<bool> {
    let rules = nftables.rules(TABLE, Some(chain))?;
    Ok(rules
        .iter()
        .any(|rule| rule.sets.iter().any(|name| name == set) && (rule.masquerades || !masquerades)))
}
