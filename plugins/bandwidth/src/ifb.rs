//! Which ifb devices belong to an attachment.
//!
//! The one that shapes what the pod sends is named by the reference after network and container only, so that a
//! second interface of the same container in the same network finds the name taken. Ours takes another one then,
//! which the interface's name is part of. What goes to the pod needs a device only when not all of it is shaped;
//! that has a name of its own. The alias tells whose a device is; the reference's has none.

use std::fmt::Write;

use cni::Attachment;
use linux::{Link, Rtnetlink};
use sha2::{Digest, Sha512};

use crate::direction::Direction;
use crate::error::Result;

/// The kernel's driver.
pub(crate) const KIND: &str = "ifb";
const PREFIX: &str = "bwp";
/// The longest name of an interface (`IFNAMSIZ` in uapi/linux/if.h, less its zero).
const NAME_MAX: usize = 15;
/// No interface's name has a slash: the hash is nobody else's.
const INGRESS: &str = "/ingress";

/// The names that an attachment's devices can have: two for what the pod sends, the reference's first, and one
/// for what it receives.
pub(crate) fn names(attachment: &Attachment) -> [String; 3] {
    let Attachment { network, container_id, interface, .. } = attachment;
    [
        name(&[network, container_id]),
        name(&[network, container_id, interface]),
        name(&[network, container_id, interface, INGRESS]),
    ]
}

/// The name of a device for a pair of which nobody knows whose it is.
pub(crate) fn name_by_pair(pair: &Link, direction: Direction) -> String {
    name(&[&pair.name, "/", direction.as_str()])
}

/// `bwp` and as many hexadecimal digits of the SHA-512 of the parts as fit.
fn name(parts: &[&str]) -> String {
    let digest = Sha512::digest(parts.concat());
    let mut name = PREFIX.to_owned();
    for byte in digest.iter().take((NAME_MAX - PREFIX.len()).div_ceil(2)) {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name.truncate(NAME_MAX);
    name
}

/// Whether a device is named as the reference names them, and as weir does.
pub(crate) fn is_a_name(name: &str) -> bool {
    name.len() == NAME_MAX
        && name
            .strip_prefix(PREFIX)
            .is_some_and(|digits| digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

/// The attachment's devices.
///
/// # Errors
/// What the kernel says.
pub(crate) fn all(host: &mut Rtnetlink, attachment: &Attachment) -> Result<Vec<Link>> {
    let [first, second, ingress] = names(attachment);
    let mut found = Vec::new();
    let mut interface_has_its_own = false;
    for name in [&ingress, &second, &first] {
        let Some(link) = host.link_by_name(name)?.filter(|link| link.is(KIND)) else { continue };
        let named = link.alias.as_deref().is_some_and(|alias| attachment.is_named_by(alias));
        // Where there is a device under the second name, one under the first that does not say whose it is
        // belongs to another interface of the container.
        if named || (may_belong(&link) && !(name == &first && interface_has_its_own)) {
            interface_has_its_own |= name == &second;
            found.push(link);
        }
    }
    Ok(found)
}

/// A name for a new device. For what the pod sends: the reference's, unless another interface of the container
/// has it. A device of this very attachment that is there is removed, as a killed ADD or a deleted filter leaves
/// it: nothing leads to it.
///
/// # Errors
/// What the kernel says.
pub(crate) fn claim_name(
    host: &mut Rtnetlink,
    host_end: &Link,
    attachment: Option<&Attachment>,
    direction: Direction,
) -> Result<String> {
    let Some(attachment) = attachment else {
        let name = name_by_pair(host_end, direction);
        if let Some(left) = host.link_by_name(&name)?.filter(|link| link.is(KIND) && may_belong(link)) {
            host.delete_link(left.index)?;
        }
        return Ok(name);
    };
    let [first, second, ingress] = names(attachment);
    let candidates = match direction {
        Direction::Ingress => vec![ingress],
        Direction::Egress => vec![first, second],
    };
    let mut free = None;
    for name in &candidates {
        match host.link_by_name(name)? {
            None => {}
            Some(link)
                if link.is(KIND) && link.alias.as_deref().is_some_and(|a| attachment.is_named_by(a)) =>
            {
                host.delete_link(link.index)?;
            }
            Some(_) => continue,
        }
        free = free.or(Some(name.clone()));
    }
    Ok(free.or(candidates.into_iter().next_back()).unwrap_or_default())
}

/// The alias of a device.
pub(crate) fn alias(attachment: &Attachment, direction: Direction) -> String {
    match note(direction) {
        "" => attachment.to_string(),
        note => attachment.with_notes(note),
    }
}

/// What the alias of a device tells beside its attachment.
pub(crate) fn note(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "direction=ingress",
        Direction::Egress => "",
    }
}

/// Whether a device of an attachment is the one for this direction.
pub(crate) fn is_for(ifb: &Link, direction: Direction) -> bool {
    let to_pod = ifb.alias.as_deref().is_some_and(|alias| alias.contains(note(Direction::Ingress)));
    to_pod == (direction == Direction::Ingress)
}

/// Whether the alias names nobody: the reference plugin sets none.
fn may_belong(ifb: &Link) -> bool {
    ifb.alias.as_deref().is_none_or(|alias| Attachment::parse(alias).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment(network: &str, container_id: &str, interface: &str) -> Attachment {
        Attachment {
            network: network.to_owned(),
            container_id: container_id.to_owned(),
            interface: interface.to_owned(),
            pod: None,
        }
    }

    #[test]
    fn the_first_name_is_the_references() {
        // `bandwidth` 1.1.1 made a device of this name for network mynet and container c1.
        let [first, second, _] = names(&attachment("mynet", "c1", "eth1"));
        assert_eq!(first, "bwpf0bca4ac77cd");
        // printf mynetc1eth1 | sha512sum
        assert_eq!(second, "bwp1ddf5cbd6aa5");
        let [first, ..] = names(&attachment("k8s-pod-network", "8f2b1cd3", "eth0"));
        assert_eq!(first, "bwp711c71c65137");
    }
}
