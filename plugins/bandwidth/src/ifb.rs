//! Which ifb devices belong to an attachment.
//!
//! The one that shapes what the pod sends is named by the reference after network and container only, so that a
//! second interface of the same container in the same network finds the name taken. Ours takes another one then,
//! which the interface's name is part of. Packets to the pod need a device only when not all of them are shaped;
//! that has a name of its own. The alias names the attachment; the reference's devices have none.

use std::fmt::Write;

use attachment::created_for;
use cni::Attachment;
use limits::Direction;
use linux::{InterfaceName, Link, Mac, Rtnetlink};
use sha2::{Digest, Sha512};

use crate::error::Result;
use crate::record;

/// The kernel's driver.
pub(crate) const KIND: &str = "ifb";
const PREFIX: &str = "bwp";
/// No interface's name has a slash: no other attachment has the same hash.
const INGRESS: &str = "/ingress";
/// Notes of a device's alias.
const TO_POD: &str = "direction=ingress";
const HOST: &str = "host=";

/// Returns the names that an attachment's devices can have: two for what the pod sends, the reference's first, and one
/// for what it receives.
pub(crate) fn names(attachment: &Attachment) -> [String; 3] {
    let Attachment { network, container_id, interface, .. } = attachment;
    [
        name(&[network, container_id]),
        name(&[network, container_id, interface]),
        name(&[network, container_id, interface, INGRESS]),
    ]
}

/// Returns the name of a device for a pair of an unknown attachment.
pub(crate) fn name_by_pair(pair: &Link, direction: Direction) -> String {
    name(&[&pair.name, "/", direction.as_str()])
}

/// Returns `bwp` and as many hexadecimal digits of the SHA-512 of the parts as fit.
fn name(parts: &[&str]) -> String {
    let digest = Sha512::digest(parts.concat());
    let mut name = PREFIX.to_owned();
    for byte in digest.iter().take((InterfaceName::MAX_LEN - PREFIX.len()).div_ceil(2)) {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name.truncate(InterfaceName::MAX_LEN);
    name
}

/// Whether a device is named as the reference names them, and as weir does.
pub(crate) fn is_a_name(name: &str) -> bool {
    name.len() == InterfaceName::MAX_LEN
        && name
            .strip_prefix(PREFIX)
            .is_some_and(|digits| digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

/// Returns the hardware address of the device for a direction. It follows from the attachment, so that a device that has no alias
/// yet is known by it.
pub(crate) fn mac(attachment: &Attachment, direction: Direction) -> Mac {
    let Attachment { network, container_id, interface, .. } = attachment;
    attachment::mac(&[network, container_id, interface, direction.as_str()], &[])
}

/// Finds the attachment's devices.
pub(crate) fn all(host: &mut Rtnetlink, attachment: &Attachment) -> Result<Vec<Link>> {
    let [first, second, ingress] = names(attachment);
    let mut found = Vec::new();
    let mut interface_has_its_own = false;
    for (name, direction) in
        [(&ingress, Direction::Ingress), (&second, Direction::Egress), (&first, Direction::Egress)]
    {
        let Some(link) = host.link_by_name(name)?.filter(|link| link.is(KIND)) else { continue };
        let is_its_own = match created_for(&link) {
            Some(owner) => owner.is_same(attachment),
            None if link.mac == Some(mac(attachment, direction)) => true,
            // Another interface of the container is being attached, or was when its ADD was killed.
            None if link.is_unfinished() => !host.is_being_made(&link)?,
            // Where there is a device under the second name, one under the first without an alias belongs to another
            // interface of the container.
            None => name != &first || !interface_has_its_own,
        };
        if is_its_own {
            interface_has_its_own |= name == &second;
            found.push(link);
        }
    }
    Ok(found)
}

/// Returns a free name for a new device. For what the pod sends: the reference's, unless another interface of the
/// container has it. Deletes a device of this very attachment, as a killed ADD or a deleted filter leaves it: no packets
/// are redirected to it. Deletes also one that the killed ADD of another interface left unfinished.
pub(crate) fn claim_name(
    host: &mut Rtnetlink,
    host_end: &Link,
    attachment: Option<&Attachment>,
    direction: Direction,
) -> Result<String> {
    let Some(attachment) = attachment else {
        let name = name_by_pair(host_end, direction);
        let left = host.link_by_name(&name)?.filter(|link| link.is(KIND) && created_for(link).is_none());
        if let Some(left) = left
            && !host.is_being_made(&left)?
        {
            host.delete_link(left.index)?;
        }
        return Ok(name);
    };
    let [first, second, ingress] = names(attachment);
    let candidates = match direction {
        Direction::Ingress => vec![ingress],
        Direction::Egress => vec![first, second],
    };
    let mac = mac(attachment, direction);
    let mut free = None;
    for name in &candidates {
        match host.link_by_name(name)? {
            None => {}
            Some(link) if link.is(KIND) && !host.is_being_made(&link)? => {
                let may_go = match created_for(&link) {
                    Some(owner) => owner.is_same(attachment),
                    None => link.is_unfinished() || link.mac == Some(mac),
                };
                if !may_go {
                    continue;
                }
                host.delete_link(link.index)?;
            }
            Some(_) => continue,
        }
        free = free.or(Some(name.clone()));
    }
    Ok(free.or(candidates.into_iter().next_back()).unwrap_or_default())
}

/// Returns the alias of a device for packets of the pair with this host's end.
pub(crate) fn alias(attachment: &Attachment, host_end: &Link, direction: Direction) -> String {
    match note(host_end, direction).as_str() {
        "" => attachment.to_string(),
        note => attachment.with_notes(note),
    }
}

/// Returns the note in the alias of a device: for what the pod sends, the host's end whose packets are redirected there.
/// DEL finds the chain that redirects them by it when the pair is gone.
pub(crate) fn note(host_end: &Link, direction: Direction) -> String {
    match direction {
        Direction::Ingress => TO_POD.to_owned(),
        Direction::Egress if is_plain(&host_end.name) => format!("{HOST}{}", host_end.name),
        Direction::Egress => String::new(),
    }
}

/// Returns the host's end whose packets are redirected to a device, by its alias.
pub(crate) fn host_end(ifb: &Link) -> Option<&str> {
    record::notes(ifb.alias.as_deref()?).split(' ').find_map(|note| note.strip_prefix(HOST))
}

/// Whether an alias can show the name: the kernel allows other characters too.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a device of an attachment is the one for this direction.
pub(crate) fn is_for(ifb: &Link, direction: Direction) -> bool {
    let notes = ifb.alias.as_deref().map(record::notes).unwrap_or_default();
    let to_pod = notes.split(' ').any(|pair| pair == TO_POD);
    to_pod == (direction == Direction::Ingress)
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

    #[test]
    fn no_two_devices_have_the_same_address() {
        let addresses = [("n", "c", "eth0"), ("n", "c", "eth1"), ("nc", "", "eth0"), ("n", "ceth0", "")]
            .map(|(network, container_id, interface)| attachment(network, container_id, interface))
            .map(|attachment| {
                [Direction::Ingress, Direction::Egress].map(|direction| mac(&attachment, direction))
            });
        let mut addresses = addresses.concat();
        assert!(addresses.iter().all(|mac| mac.is_assignable()));
        addresses.sort_unstable_by_key(|mac| mac.0);
        addresses.dedup();
        assert_eq!(addresses.len(), 8);
    }
}
