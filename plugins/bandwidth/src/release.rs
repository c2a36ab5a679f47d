//! A pair that another plugin made is left as it was before.

use cni::Attachment;
use limits::Direction;
use linux::{Link, Rtnetlink};

use crate::error::Error;
use crate::kernel::Kernel;
use crate::record;
use crate::redirection;
use crate::shaper::Root;
use crate::subnets::hook;

/// Takes from `pair` what leads to `ifbs`, which are about to go, and to devices that are gone: packets that are sent
/// there are lost. What an earlier ADD for `attachment` put at the pair itself goes too.
///
/// Every step is tried. The alias goes last, and only when nothing is left that it has to find. Returns what the kernel
/// refused.
pub(crate) fn release(
    kernel: &mut Kernel<'_>,
    pair: &Link,
    ifbs: &[Link],
    attachment: Option<&Attachment>,
) -> Vec<Error> {
    let mut errors = Vec::new();
    let mut was_led = false;
    for direction in [Direction::Ingress, Direction::Egress] {
        match lead_nowhere(kernel, pair, ifbs, direction) {
            Ok(led) => was_led |= led,
            Err(error) => errors.push(error),
        }
    }
    // Also where a chain led: a live change leaves the hook of the filters that it replaces, for the kernel stops the link
    // for a moment when that goes. One that others use stays.
    if was_led {
        errors.extend(kernel.host.delete_unused_hook(pair.index).err().map(Error::from));
    }
    let owner = attachment::named(pair);
    let is_anothers = owner.zip(attachment).is_some_and(|(owner, attachment)| !owner.is_same(attachment));
    if record::is_only_shaped(pair) && !is_anothers {
        errors.extend(delete_filter(kernel.host, pair).err());
        if errors.is_empty() {
            errors.extend(kernel.host.set_alias(pair.index, "").err().map(Error::from));
        }
    }
    errors
}

/// Tells whether anything led there.
fn lead_nowhere(
    kernel: &mut Kernel<'_>,
    pair: &Link,
    ifbs: &[Link],
    direction: Direction,
) -> Result<bool, Error> {
    let targets = redirection::targets(kernel, pair, direction)?;
    let mut leads_there = false;
    for (to, _) in &targets {
        leads_there |= ifbs.iter().any(|ifb| ifb.index == *to) || kernel.host.link_by_index(*to)?.is_none();
    }
    // An ADD that was killed may have left filters that only exempt something.
    let rules = kernel.host.rules(pair.index, hook(direction))?;
    let only_exempts = !rules.is_empty() && rules.iter().all(|rule| rule.target().is_none());
    if !leads_there && !only_exempts {
        return Ok(false);
    }
    redirection::stop(kernel, pair, direction)?;
    Ok(true)
}

/// Takes the token bucket filter from the host's end, if there is one, with its classes.
pub(crate) fn delete_filter(host: &mut Rtnetlink, pair: &Link) -> Result<(), Error> {
    if matches!(Root::of(host, pair)?, Root::Filter(_) | Root::Classes(_)) {
        host.delete_root_qdisc(pair.index)?;
    }
    Ok(())
}
