//! Redirects packets to the ifb that queues them: by a chain of nf_tables, or by filters of traffic control.
//!
//! A chain redirects what a pod sends, where the kernel can do that. The kernel runs it after all filters and programs at
//! the ingress hook: a program that accepts a packet, as those for network policy do, ends the search among them, but does
//! not skip the chain. Filters of traffic control ([`linux::Rule`]) serve on other kernels, and the reference plugin. What a
//! pod receives can only be redirected by filters: the kernel does not tell an ifb where packets that are to be sent came
//! from, unless mirred does.

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

/// The means of a redirection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// A chain.
    Chain(Forward),
    /// Filters of traffic control.
    Rules,
}

/// Redirects packets of a direction to an ifb, unless they are exempt. Replaces an earlier redirection. Returns whether it
/// created the pair's hook.
///
/// # Errors
/// The kernel's refusal; then nothing of it is left.
pub(crate) fn start(
    kernel: &mut Kernel<'_>,
    host_end: &Link,
    attachment: Option<&Attachment>,
    direction: Direction,
    subnets: &Subnets,
    ifb: u32,
) -> Result<bool> {
    if direction == Direction::Egress && start_by_chain(kernel, host_end, attachment, subnets, ifb)? {
        return Ok(false);
    }
    Ok(kernel.host.set_rules(host_end.index, hook(direction), &subnets.rules(direction, ifb))?)
}

/// Redirects what a pod sends by a chain; returns false where the kernel has no such chains. Weir's filters go when the
/// chain is there: no packet passes by.
pub(crate) fn start_by_chain(
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

/// Returns the links that packets of a direction are redirected to, by filters and chains of any program. No link has the
/// index of a device that is gone; for the target of filters, the kernel shows 0 then.
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
pub(crate) fn target_of_chain(
    kernel: &mut Kernel<'_>,
    host_end: &Link,
    direction: Direction,
) -> Result<Option<(u32, Way)>> {
    let chain = if direction == Direction::Egress { chain(kernel, host_end)? } else { None };
    Ok(chain.map(|chain| (chain.to, Way::Chain(chain))))
}

/// As [`targets`], by filters of traffic control only.
pub(crate) fn targets_of_rules(
    kernel: &mut Kernel<'_>,
    host_end: &Link,
    direction: Direction,
) -> Result<Vec<(u32, Way)>> {
    let redirects = kernel.host.redirects(host_end.index, hook(direction))?;
    Ok(redirects.into_iter().map(|to| (to, Way::Rules)).collect())
}

/// Returns the chain for what arrives at the host's end.
fn chain(kernel: &mut Kernel<'_>, host_end: &Link) -> Result<Option<Forward>> {
    let Some(nftables) = kernel.nftables()? else { return Ok(None) };
    match forwarded::find(nftables, &host_end.name) {
        // The chain of a former link of this name does nothing.
        Ok(chain) => Ok(chain.filter(|chain| chain.link == host_end.index)),
        Err(error) if error.is_denied() => {
            kernel.is_denied = true;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns the traffic of a direction that weir's chain or filters redirect; none when they redirect none, or when a part
/// of the chain is missing.
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

/// Stops weir's redirection of a direction.
pub(crate) fn stop(kernel: &mut Kernel<'_>, host_end: &Link, direction: Direction) -> Result<()> {
    if direction == Direction::Egress
        && let Some(chain) = chain(kernel, host_end)?
        && let Some(nftables) = kernel.nftables()?
    {
        forward::remove(nftables, &chain)?;
    }
    Ok(kernel.host.delete_rules(host_end.index, hook(direction))?)
}

/// Returns the chains of these links that redirect to one of these devices.
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
/// An entry that cannot be removed is not an error: the main plugin's DEL tries again.
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

/// Whether the filters are those wanted, or those of an earlier weir for the same traffic, which did not match frames with
/// VLAN tags.
pub(crate) fn are_for(shown: &[Rule], want: &[Rule]) -> bool {
    let same = |want: &[&Rule]| shown.len() == want.len() && want.iter().all(|rule| shown.contains(rule));
    let all: Vec<&Rule> = want.iter().collect();
    let untagged: Vec<&Rule> = want.iter().filter(|rule| !rule.is_about_tags()).collect();
    same(&all) || same(&untagged)
}
