//! CHECK: compares the table with what it should hold.

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use linux::Result;
use nft::{Claimant, Digest, Failed, Nftables, octets};

use super::base::{POSTROUTING, TABLE};
use super::holder;
use super::record::Holder;
use super::subnet::Subnet;

/// Why an attachment is not masqueraded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MasqueradeFault {
    /// The address has no holder, or is not in its subnet's set.
    AddressMissing(IpAddr),
    /// Another attachment has the address, or this one has it in another subnet.
    AddressTaken(IpAddr),
    /// A rule of this chain is missing, or the map element that jumps to it.
    RuleMissing {
        /// The chain, of table `inet weir`.
        chain: String,
    },
}

impl fmt::Display for MasqueradeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressMissing(address) => write!(f, "{address} is not masqueraded (nf_tables, inet weir)"),
            Self::AddressTaken(address) => {
                write!(f, "{address} is masqueraded for another attachment (nf_tables, inet weir)")
            }
            Self::RuleMissing { chain } => {
                write!(
                    f,
                    "the masquerading rule of chain {chain} is gone (nf_tables, inet weir), for other pods too; after nft delete table inet weir, pods that are attached anew are masqueraded again"
                )
            }
        }
    }
}

/// Checks whether `claimant` masquerades each of `addresses` and whether the rules on the way are in place. `None` means that
/// all is well.
///
/// Reads what `nft list table inet weir` shows of these addresses and no other.
///
/// # Errors
/// [`Error::Refused`](linux::Error::Refused) and [`Error::Netlink`](linux::Error::Netlink).
pub fn check(
    nftables: &mut Nftables,
    claimant: &Claimant,
    addresses: &[IpNetwork],
) -> Result<Option<MasqueradeFault>> {
    for pod in addresses {
        let fault = check_address(nftables, claimant.digest, *pod)
            .map_err(|failed| failed.during(format_args!("check the masquerading of {claimant}")))?;
        if fault.is_some() {
            return Ok(fault);
        }
    }
    Ok(None)
}

fn check_address(
    nftables: &mut Nftables,
    owner: Digest,
    pod: IpNetwork,
) -> std::result::Result<Option<MasqueradeFault>, Failed> {
    let subnet = Subnet::of(pod);
    match holder(nftables, pod.ip())? {
        None => return Ok(Some(MasqueradeFault::AddressMissing(pod.ip()))),
        Some(holder) if holder != (Holder { owner, prefix: pod.prefix() }) => {
            return Ok(Some(MasqueradeFault::AddressTaken(pod.ip())));
        }
        Some(_) => {}
    }
    if nftables.element(TABLE, &subnet.pods(), &octets(pod.ip()), |_| ())?.is_none() {
        return Ok(Some(MasqueradeFault::AddressMissing(pod.ip())));
    }
    let rule_missing = |chain: &str| Ok(Some(MasqueradeFault::RuleMissing { chain: chain.into() }));
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

/// Whether a rule of `chain` looks into `set` and, if asked for, masquerades.
fn has_rule(
    nftables: &mut Nftables,
    chain: &str,
    set: &str,
    masquerades: bool,
) -> std::result::Result<bool, Failed> {
    let rules = nftables.rules(TABLE, Some(chain))?;
    Ok(rules
        .iter()
        .any(|rule| rule.sets.iter().any(|name| name == set) && (rule.masquerades || !masquerades)))
}
