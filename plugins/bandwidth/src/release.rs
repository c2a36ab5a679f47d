//! Leaves the pair of another plugin as it was before.

use cni::Attachment;
use limits::Direction;
use linux::{Change, Link, Rtnetlink};

use crate::error::Error;
use crate::kernel::Kernel;
use crate::record;
use crate::redirection;
use crate::shaper::Root;
use crate::subnets::hook;

/// Removes from `pair` the redirections to `ifbs`, which are about to go, and to devices that are gone: packets would be
/// lost there. Removes also what an earlier ADD for `attachment` put at the pair itself.
///
/// Goes on after an error, and returns all of them. The alias goes last, and only when nothing is left that is found by
/// it.
pub(crate) fn release(
    kernel: &mut Kernel<'_>,
    pair: &Link,
    ifbs: &[Link],
    attachment: Option<&Attachment>,
) -> Vec<Error> {
    let mut errors = Vec::new();
    let mut was_redirected = false;
    for direction in [Direction::Ingress, Direction::Egress] {
        match stop_redirection(kernel, pair, ifbs, direction) {
            Ok(stopped) => was_redirected |= stopped,
            Err(error) => errors.push(error),
        }
    }
    // Also where a chain redirected: a live change leaves the hook of the filters that it replaces, as the kernel stops the link
    // for a moment when that goes. A hook that others use stays.
    if was_redirected {
        errors.extend(kernel.host.delete_unused_hook(pair.index).err().map(Error::from));
    }
    let owner = attachment::named(pair);
    let is_anothers = owner.zip(attachment).is_some_and(|(owner, attachment)| !owner.is_same(attachment));
    if record::is_only_shaped(pair) && !is_anothers {
        errors.extend(delete_filter(kernel.host, pair).err());
        if errors.is_empty() {
            errors.extend(kernel.host.apply(&[Change::set_alias(pair.index, "")]).err().map(Error::from));
        }
    }
    errors
}

/// Stops the redirection to devices that go or are gone. Returns whether there was any.
fn stop_redirection(
    kernel: &mut Kernel<'_>,
    pair: &Link,
    ifbs: &[Link],
    direction: Direction,
) -> Result<bool, Error> {
    let targets = redirection::targets(kernel, pair, direction)?;
    let mut is_dead = false;
    for (to, _) in &targets {
        is_dead |= ifbs.iter().any(|ifb| ifb.index == *to) || kernel.host.link_by_index(*to)?.is_none();
    }
    // A killed ADD may have left filters that only exempt subnets.
    let rules = kernel.host.rules(pair.index, hook(direction))?;
    let only_exempts = !rules.is_empty() && rules.iter().all(|rule| rule.target().is_none());
    if !is_dead && !only_exempts {
        return Ok(false);
    }
    redirection::stop(kernel, pair, direction)?;
    Ok(true)
}

/// Deletes the token bucket filter at the host's end, if there is one, with its classes.
pub(crate) fn delete_filter(host: &mut Rtnetlink, pair: &Link) -> Result<(), Error> {
    if matches!(Root::of(host, pair)?, Root::Filter(_) | Root::Classes(_)) {
        host.delete_root_qdisc(pair.index)?;
    }
    Ok(())
}
