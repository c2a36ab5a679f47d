//! A pair that another plugin made is left as it was before.

use cni::Attachment;
use linux::{Link, Rtnetlink};

use crate::direction::Direction;
use crate::error::Error;
use crate::record;
use crate::subnets::hook;

/// Takes from `pair` what leads to `ifbs`, which are about to go, and to devices that are gone: packets that are sent
/// there are lost. What an earlier ADD for `attachment` put at the pair itself goes too.
///
/// Every step is tried. The alias goes last, and only when nothing is left that it has to find. Returns what the kernel
/// refused.
pub(crate) fn release(
    host: &mut Rtnetlink,
    pair: &Link,
    ifbs: &[Link],
    attachment: Option<&Attachment>,
) -> Vec<Error> {
    let mut errors = Vec::new();
    for direction in [Direction::Ingress, Direction::Egress] {
        errors.extend(delete_dead_rules(host, pair, ifbs, direction).err());
    }
    let owner = record::attachment(pair);
    let is_anothers = owner.zip(attachment).is_some_and(|(owner, attachment)| !owner.is_same(attachment));
    if record::is_only_shaped(pair) && !is_anothers {
        errors.extend(delete_filter(host, pair).err());
        if errors.is_empty() {
            errors.extend(host.set_alias(pair.index, "").err().map(Error::from));
        }
    }
    errors
}

fn delete_dead_rules(
    host: &mut Rtnetlink,
    pair: &Link,
    ifbs: &[Link],
    direction: Direction,
) -> Result<(), Error> {
    let redirects = host.redirects(pair.index, hook(direction))?;
    if redirects.iter().any(|to| *to == 0 || ifbs.iter().any(|ifb| ifb.index == *to)) {
        host.delete_rules(pair.index, hook(direction))?;
    }
    Ok(())
}

/// Takes the token bucket filter from the host's end, if there is one.
pub(crate) fn delete_filter(host: &mut Rtnetlink, pair: &Link) -> Result<(), Error> {
    if host.root_qdisc(pair.index)?.is_some_and(|qdisc| qdisc.tbf.is_some()) {
        host.delete_root_qdisc(pair.index)?;
    }
    Ok(())
}
