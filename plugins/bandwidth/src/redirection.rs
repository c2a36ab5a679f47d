//! How packets come to the ifb that queues them: by a chain of nf_tables, or by filters of traffic control.
//!
//! What a pod sends goes by a chain where the kernel can do that. The kernel asks it after all filters and programs at
//! the ingress hook: a program that accepts a packet, as those for network policy do, ends the search among them, but
//! not before the chain. Filters of traffic control ([`linux::Rule`]) are the way on other kernels, and of the
//! reference plugin. What a pod receives can only come to an ifb by filters: the kernel does not tell an ifb where
//! packets that are to be sent came from, unless mirred does.

use attachment::masquerade;
use cni::Attachment;
use limits::Direction;
use linux::{Error, Link, Rtnetlink, Rule};
use nft::{Claimant, FoundChain, Nftables};

use crate::error::Result;
use crate::forward;
use crate::forwarded::{self, Forward};
use crate::kernel::Kernel;
use crate::subnets::{Subnets, hook};

/// A way of packets to an ifb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// By a chain.
    Chain(Forward),
    /// By filters of traffic control.
    Rules,
}

/// Leads packets of a direction to an ifb, as far as they are not exempt. Whatever led them before gives way. Returns
/// whether it made the pair's hook.
///
/// # Errors
/// What the kernel says; then nothing of it is left.
pub(crate) fn lead(
    kernel: &mut Kernel<'_>,
    host_end: &Link,
    attachment: Option<&Attachment>,
    direction: Direction,
    subnets: &Subnets,
    ifb: u32,
) -> Result<bool> {
    if direction == Direction::Egress && lead_by_chain(kernel, host_end, attachment, subnets, ifb)? {
        return Ok(false);
    }
    Ok(kernel.host.set_rules(host_end.index, hook(direction), &subnets.rules(direction, ifb))?)
}

/// Leads what a pod sends to an ifb by a chain; false where the kernel has no such chains. Filters of weir's that did so
/// go when the chain is there: no packet passes by.
///
/// # Errors
/// What the kernel says.
pub(crate) fn lead_by_chain(
    kernel: &mut Kernel<'_>,
    host_end: &Link,
    attachment: Option<&Attachment>,
    subnets: &Subnets,
    ifb: u32,
) -> Result<bool> {
    let Some(nftables) = kernel.nftables()? else { return Ok(false) };
    match forward::add(nftables, attachment, host_end, ifb, subnets) {
        Ok(()) => {
            kernel.host.delete_rules(host_end.index, hook(Direction::Egress))?;
            Ok(true)
        }
        Err(Error::MissingFeature { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Where packets of a direction are led, and how, by rules and chains of any maker. No link has the index of a device
/// that is gone; where filters lead to it, the kernel shows 0.
///
/// # Errors
/// What the kernel says.
pub(crate) fn targets(
    kernel: &mut Kernel<'_>,
    host_end: &Link,
    direction: Direction,
) -> Result<Vec<(u32, Way)>> {
    let mut targets = Vec::from_iter(target_of_chain(kernel, host_end, direction)?);
    targets.extend(targets_of_rules(kernel, host_end, direction)?);
    Ok(targets)
}

/// As [`targets`], by a chain only.
///
/// # Errors
/// What the kernel says.
pub(crate) fn target_of_chain(
    kernel: &mut Kernel<'_>,
    host_end: &Link,
    direction: Direction,
) -> Result<Option<(u32, Way)>> {
    let chain = if direction == Direction::Egress { chain(kernel, host_end)? } else { None };
    Ok(chain.map(|chain| (chain.to, Way::Chain(chain))))
}

/// As [`targets`], by filters of traffic control only.
///
/// # Errors
/// What the kernel says.
pub(crate) fn targets_of_rules(
    kernel: &mut Kernel<'_>,
    host_end: &Link,
    direction: Direction,
) -> Result<Vec<(u32, Way)>> {
    let redirects = kernel.host.redirects(host_end.index, hook(direction))?;
    Ok(redirects.into_iter().map(|to| (to, Way::Rules)).collect())
}

/// The chain for what arrives at the host's end.
fn chain(kernel: &mut Kernel<'_>, host_end: &Link) -> Result<Option<Forward>> {
    let Some(nftables) = kernel.nftables()? else { return Ok(None) };
    match forwarded::find(nftables, &host_end.name) {
        // One of a former link of this name does nothing.
        Ok(chain) => Ok(chain.filter(|chain| chain.link == host_end.index)),
        Err(error) if error.is_denied() => {
            kernel.is_denied = true;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Which traffic of a direction is led to an ifb, by a chain or by filters that weir made; none when none is, or when
/// a part of the chain is missing.
///
/// # Errors
/// What the kernel says.
pub(crate) fn subnets(
    kernel: &mut Kernel<'_>,
    host_end: &Link,
    direction: Direction,
) -> Result<Option<Subnets>> {
    if direction == Direction::Egress
        && let Some(chain) = chain(kernel, host_end)?
        && let Some(nftables) = kernel.nftables()?
    {
        return Ok(forwarded::subnets(nftables, &chain)?);
    }
    Ok(Subnets::of_rules(&kernel.host.rules(host_end.index, hook(direction))?))
}

/// Leads packets of a direction nowhere any more, as far as weir led them.
///
/// # Errors
/// What the kernel says.
pub(crate) fn stop(kernel: &mut Kernel<'_>, host_end: &Link, direction: Direction) -> Result<()> {
    if direction == Direction::Egress
        && let Some(chain) = chain(kernel, host_end)?
        && let Some(nftables) = kernel.nftables()?
    {
        forward::remove(nftables, &chain)?;
    }
    Ok(kernel.host.delete_rules(host_end.index, hook(direction))?)
}

/// The chains of these links that lead to one of these devices.
///
/// # Errors
/// What the kernel says.
pub(crate) fn chains<'a>(
    kernel: &mut Kernel<'_>,
    links: impl Iterator<Item = &'a str>,
    devices: &[Link],
) -> Result<Vec<Forward>> {
    let Some(nftables) = kernel.nftables()? else { return Ok(Vec::new()) };
    let mut found: Vec<Forward> = Vec::new();
    for link in links {
        if found.iter().all(|chain| chain.link_name != link) {
            let chain = forwarded::find(nftables, link)?;
            found.extend(chain.filter(|chain| devices.iter().any(|device| device.index == chain.to)));
        }
    }
    Ok(found)
}

/// Removes chains, and with them the masquerade entry of `claimant`, if it has one: the kernel waits once for both, when
/// `kernel` is dropped. To delete devices before that costs no further wait.
///
/// An entry that cannot be removed is no error: the main plugin's DEL tries again, and says what it cannot.
///
/// # Errors
/// What the kernel says of the chains.
pub(crate) fn remove_chains(
    kernel: &mut Kernel<'_>,
    chains: &[Forward],
    claimant: Option<&Claimant>,
) -> Result<()> {
    let Some(nftables) = kernel.nftables()? else { return Ok(()) };
    let found: Vec<FoundChain> = chains.iter().map(Forward::chain).collect();
    if claimant.is_some_and(|claimant| masquerade::remove_with(nftables, claimant, &found).is_ok()) {
        return Ok(());
    }
    for chain in chains {
        forward::remove(nftables, chain)?;
    }
    Ok(())
}

/// Removes the chains of links that are gone, which do nothing any more, also those that lost their rules. Returns every
/// error.
pub(crate) fn collect_chains(kernel: &mut Kernel<'_>) -> Vec<crate::Error> {
    let mut errors = Vec::new();
    collect(
        kernel,
        &mut errors,
        forwarded::list,
        |host, chain| host.link_by_index(chain.link),
        |nftables, chain| forward::remove(nftables, chain).map(drop),
    );
    collect(
        kernel,
        &mut errors,
        forwarded::idle_chains,
        |host, chain| host.link_by_name(&chain.name),
        forwarded::remove_idle_chain,
    );
    errors
}

fn collect<C>(
    kernel: &mut Kernel<'_>,
    errors: &mut Vec<crate::Error>,
    list: impl FnOnce(&mut Nftables) -> linux::Result<Vec<C>>,
    link: impl Fn(&mut Rtnetlink, &C) -> linux::Result<Option<Link>>,
    remove: impl Fn(&mut Nftables, &C) -> linux::Result<()>,
) {
    let collect_all = || {
        let Some(nftables) = kernel.nftables()? else { return Ok(()) };
        for chain in list(nftables)? {
            let removed = match link(kernel.host, &chain) {
                Ok(None) => kernel.nftables()?.map_or(Ok(()), |nftables| remove(nftables, &chain)),
                found => found.map(drop),
            };
            errors.extend(removed.err().map(crate::Error::from));
        }
        Ok(())
    };
    let outcome: Result<()> = collect_all();
    errors.extend(outcome.err());
}

/// Whether these filters are those that an earlier weir made for the same traffic, before it matched frames with VLAN
/// tags, or those of today.
pub(crate) fn are_for(shown: &[Rule], want: &[Rule]) -> bool {
    let same = |want: &[&Rule]| shown.len() == want.len() && want.iter().all(|rule| shown.contains(rule));
    let all: Vec<&Rule> = want.iter().collect();
    let untagged: Vec<&Rule> = want.iter().filter(|rule| !rule.is_about_tags()).collect();
    same(&all) || same(&untagged)
}
