//! Which ifb device belongs to an attachment.
//!
//! The reference names it after network and container only, so that a second interface of the same container in
//! the same network finds the name taken. Ours takes another one then, which the interface's name is part of.
//! The alias tells whose a device is; the reference's has none.

use std::fmt::Write;

use cni::Attachment;
use linux::{Link, Rtnetlink};
use sha2::{Digest, Sha512};

use crate::error::Result;

const KIND: &str = "ifb";
const PREFIX: &str = "bwp";
/// The longest name of an interface (`IFNAMSIZ` in uapi/linux/if.h, less its zero).
const NAME_MAX: usize = 15;

/// The names that an attachment's device can have, the reference's first.
pub(crate) fn names(attachment: &Attachment) -> [String; 2] {
    let Attachment { network, container_id, interface, .. } = attachment;
    [name(&[network, container_id]), name(&[network, container_id, interface])]
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

/// The attachment's device, if it has one.
///
/// # Errors
/// What the kernel says.
pub(crate) fn find(host: &mut Rtnetlink, attachment: &Attachment) -> Result<Option<Link>> {
    let [first, second] = names(attachment);
    // A device under the second name can be nobody else's, and then the first name is.
    for name in [second, first] {
        let found = host.link_by_name(&name)?.filter(|link| link.is(KIND) && may_belong(link, attachment));
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// A name for a new device: the reference's, unless another interface of the container has it. A device that an
/// ADD of this very attachment left when it was killed is removed: the interface is new, so nothing uses it.
///
/// # Errors
/// What the kernel says.
pub(crate) fn claim_name(host: &mut Rtnetlink, attachment: &Attachment) -> Result<String> {
    let [first, second] = names(attachment);
    let mut free = None;
    for name in [&first, &second] {
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
    Ok(free.unwrap_or(second))
}

/// Whether the alias names the attachment, or nobody: the reference plugin sets none.
fn may_belong(ifb: &Link, attachment: &Attachment) -> bool {
    match ifb.alias.as_deref() {
        None | Some("") => true,
        Some(alias) => attachment.is_named_by(alias) || Attachment::parse(alias).is_none(),
    }
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
        let [first, second] = names(&attachment("mynet", "c1", "eth1"));
        assert_eq!(first, "bwpf0bca4ac77cd");
        // printf mynetc1eth1 | sha512sum
        assert_eq!(second, "bwp1ddf5cbd6aa5");
        let [first, _] = names(&attachment("k8s-pod-network", "8f2b1cd3", "eth0"));
        assert_eq!(first, "bwp711c71c65137");
    }
}
