//! The chains that forward what arrives at a link, read back.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use linux::Result;
use nft::{BaseChain, Batch, Claimant, FoundChain, Nftables, Rule, UserData};
use nix::errno::Errno;

use crate::forward::TABLE;
use crate::subnets::{Subnets, outermost};

/// A chain that forwards what arrives at a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forward {
    /// Name of the link, and of the chain.
    pub link_name: String,
    /// Index of the link; a later one of the same name has another.
    pub link: u32,
    /// Index of the link that the packets go out of.
    pub to: u32,
    /// The attachment that the rules name.
    pub claimant: Option<Claimant>,
    rules: Vec<Rule>,
}

impl Forward {
    /// Returns the chain as it was read.
    pub fn chain(&self) -> FoundChain {
        let rules = self.rules.iter().map(|rule| rule.handle).collect();
        FoundChain { table: TABLE, name: self.link_name.clone(), rules }
    }

    /// Returns `None` for a chain that forwards nothing.
    fn of(rules: &[Rule]) -> Option<Self> {
        let (link, to) = rules.iter().find_map(|rule| rule.input_link.zip(rule.forwards_to))?;
        let claimant = rules.iter().find_map(|rule| UserData::claimant(&rule.user_data));
        Some(Self { link_name: rules[0].chain.clone(), link, to, claimant, rules: rules.to_vec() })
    }
}

/// Returns the chain that forwards what arrives at the link of this name.
///
/// Equivalent to `nft list chain netdev weir LINK`.
pub(crate) fn find(nftables: &mut Nftables, link_name: &str) -> Result<Option<Forward>> {
    let chains = chains(nftables, Some(link_name)).map_err(|failed| {
        failed.during(format_args!("look up how nf_tables forwards what arrives at {link_name}"))
    })?;
    Ok(chains.into_iter().find(|chain| chain.link_name == link_name))
}

/// Returns all chains that forward what arrives at a link, for GC.
///
/// Equivalent to `nft list table netdev weir`.
pub(crate) fn list(nftables: &mut Nftables) -> Result<Vec<Forward>> {
    chains(nftables, None)
        .map_err(|failed| failed.during(format_args!("list what nf_tables forwards between links")))
}

fn chains(nftables: &mut Nftables, chain: Option<&str>) -> nft::Result<Vec<Forward>> {
    let rules = match nftables.rules(TABLE, chain) {
        Err(failed) if failed.is_missing_subsystem() => Vec::new(),
        rules => rules?,
    };
    Ok(rules.chunk_by(|one, next| one.chain == next.chain).filter_map(Forward::of).collect())
}

/// Returns which packets a chain forwards; `None` when a rule is missing or was changed.
pub(crate) fn subnets(nftables: &mut Nftables, forward: &Forward) -> Result<Option<Subnets>> {
    let (mut exempt, mut only) = (Vec::new(), Vec::new());
    for rule in &forward.rules {
        let Some(set) = rule.sets.first() else { continue };
        let subnets = of_set(nftables, set).map_err(|failed| {
            failed.during(format_args!("look up what nf_tables forwards of {}", forward.link_name))
        })?;
        if rule.forwards_to.is_some() { &mut only } else { &mut exempt }.extend(subnets);
    }
    let forwards_rest =
        forward.rules.last().is_some_and(|rule| rule.forwards_to.is_some() && rule.sets.is_empty());
    let is_weirs = |rule: &Rule| {
        rule.forwards_to.is_none()
            || (rule.forwards_to == Some(forward.to) && rule.input_link == Some(forward.link))
    };
    let subnets = match (only.is_empty(), exempt.is_empty()) {
        (true, true) => Subnets::All,
        (true, false) => Subnets::AllBut(exempt),
        (false, _) => Subnets::Only(only),
    };
    let is_whole = forwards_rest
        && forward.rules.len() == subnets.rules_of_chain()
        && forward.rules.iter().all(is_weirs);
    Ok(is_whole.then(|| subnets.normalised()))
}

/// Returns whether the table is dormant. Then nothing is forwarded. None before the first chain was created.
pub(crate) fn are_dormant(nftables: &mut Nftables) -> Result<Option<bool>> {
    nftables
        .is_dormant(TABLE)
        .map_err(|failed| failed.during(format_args!("look up nf_tables table {TABLE}")))
}

/// Returns the chains that forward nothing, as `nft flush table netdev weir` leaves them. Since Linux 6.16 they outlive
/// their links.
///
/// Equivalent to `nft -a list chains netdev`.
pub(crate) fn idle_chains(nftables: &mut Nftables) -> Result<Vec<BaseChain>> {
    let mut chains = nftables
        .base_chains(TABLE)
        .map_err(|failed| failed.during(format_args!("list the chains of {TABLE}")))?;
    if !chains.is_empty() {
        let forwards = list(nftables)?;
        chains.retain(|chain| forwards.iter().all(|forward| forward.link_name != chain.name));
    }
    Ok(chains)
}

/// Removes a chain that forwards nothing. Not an error if it is gone; another chain of its name stays.
///
/// Equivalent to `nft delete chain netdev weir handle HANDLE`.
pub(crate) fn remove_idle_chain(nftables: &mut Nftables, chain: &BaseChain) -> Result<()> {
    let mut batch = Batch::new(TABLE);
    batch.delete_chain_by_handle(chain.handle);
    match nftables.transact(batch) {
        Err(failed) if !failed.is(Errno::ENOENT) => {
            Err(failed.during(format_args!("delete chain {} of {TABLE}", chain.name)))
        }
        _ => Ok(()),
    }
}

/// Returns the subnets of an anonymous set.
fn of_set(nftables: &mut Nftables, set: &str) -> nft::Result<Vec<IpNetwork>> {
    let mut bounds = nftables.elements(TABLE, set, |bound| Some((address(bound.key())?, bound.is_end())))?;
    // Where one range ends and the next begins, the end comes first.
    bounds.sort_unstable_by_key(|(address, is_end)| (*address, !is_end));
    let mut subnets = Vec::new();
    for (at, (first, is_end)) in bounds.iter().enumerate() {
        if *is_end {
            continue;
        }
        let end = bounds.get(at + 1..).and_then(|rest| rest.iter().find(|(_, is_end)| *is_end));
        subnets.extend(subnet(*first, end.map(|(end, _)| *end)));
    }
    Ok(outermost(subnets.into_iter()))
}

fn address(key: &[u8]) -> Option<IpAddr> {
    match key.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(key).ok()?)),
        _ => Some(IpAddr::from(<[u8; 16]>::try_from(key).ok()?)),
    }
}

/// Returns the subnet that begins with one address and ends before another.
fn subnet(first: IpAddr, end: Option<IpAddr>) -> Option<IpNetwork> {
    let bits = |address| match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    };
    let width = if first.is_ipv4() { 32 } else { 128 };
    let last = match end {
        Some(end) => bits(end).checked_sub(1)?,
        None if first.is_ipv4() => u32::MAX.into(),
        None => u128::MAX,
    };
    let hosts = (bits(first) ^ last).checked_add(1).map_or(128, u128::trailing_zeros);
    IpNetwork::new(first, u8::try_from(width - hosts.min(width)).ok()?).ok()
}
