//! The host's end of an attachment: its name, its hardware address, how it is found again.

use cni::Attachment;
use linux::{Link, Mac, Rtnetlink};

use crate::digest::digest;
use crate::error::Result;
use crate::owner::Owner;

/// So many names are tried before ADD gives up. Two attachments share a name once in 2^32.
pub(crate) const CANDIDATES: u8 = 8;

/// The name and the hardware address of a host's end. Both follow from the attachment: DEL finds the link without a
/// namespace, without `prevResult` and without a search, also when ADD was killed before it wrote the alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEnd {
    /// `veth` and eight hexadecimal digits, in the reference's shape.
    pub name: String,
    /// A local unicast address.
    pub mac: Mac,
}

impl HostEnd {
    /// Returns the name and address to use when the first `attempt` names are taken by other links.
    pub fn candidate(attachment: &Attachment, attempt: u8) -> Self {
        let Attachment { network, container_id, interface, .. } = attachment;
        let [a, b, c, d, mac @ ..] = digest(&[network, container_id, interface], &[attempt]);
        let [e, f, g, h, i, j, ..] = mac;
        Self { name: format!("veth{a:02x}{b:02x}{c:02x}{d:02x}"), mac: Mac::local([e, f, g, h, i, j]) }
    }

    /// Returns whether `link`, which has this name, is the attachment's. Its alias says so; or the alias is not weir's
    /// (not written yet, or an administrator's text) and the link has the hardware address that only this attachment
    /// gives.
    pub(crate) fn is(&self, link: &Link, attachment: &Attachment) -> bool {
        link.is("veth")
            && match Owner::of(link, attachment) {
                Owner::This => true,
                Owner::Other(_) => false,
                Owner::ThisShaped | Owner::Unknown => link.mac == Some(self.mac),
            }
    }
}

/// Returns the host's end of `attachment`, if it exists.
pub(crate) fn find(host: &mut Rtnetlink, attachment: &Attachment) -> Result<Option<Link>> {
    for attempt in 0..CANDIDATES {
        let candidate = HostEnd::candidate(attachment, attempt);
        match host.link_by_name(&candidate.name)? {
            None => return Ok(None),
            Some(link) if candidate.is(&link, attachment) => return Ok(Some(link)),
            Some(_) => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn attachment(interface: &str) -> Attachment {
        Attachment { network: "n".into(), container_id: "c".into(), interface: interface.into(), pod: None }
    }

    pub(crate) fn link(name: &str, mac: Mac) -> Link {
        Link {
            index: 7,
            name: name.into(),
            up: true,
            promiscuous: false,
            all_multicast: false,
            mac: Some(mac),
            mtu: 1500,
            tx_queue_length: 1000,
            master: None,
            peer: Some(2),
            peer_namespace: None,
            kind: Some("veth".into()),
            alias: None,
            group: 0,
            port: linux::BridgePort::default(),
            vlans: linux::BridgeVlans::default(),
        }
    }

    #[test]
    fn the_name_is_shaped_as_the_references() {
        let name = HostEnd::candidate(&attachment("eth0"), 0).name;
        assert_eq!(name.len(), 12);
        assert!(name.strip_prefix("veth").unwrap().bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    fn two_interfaces_of_a_container_have_different_names() {
        let (one, other) =
            (HostEnd::candidate(&attachment("eth0"), 0), HostEnd::candidate(&attachment("eth1"), 0));
        assert_ne!(one.name, other.name);
        assert_ne!(one, HostEnd::candidate(&attachment("eth0"), 1));
    }

    #[test]
    fn a_link_of_the_same_name_that_is_anothers_is_not_taken_for_ours() {
        let end = HostEnd::candidate(&attachment("eth0"), 0);
        let ours = Some(attachment("eth0").to_string());
        let theirs = Some(attachment("eth1").to_string());
        let link = |alias, mac| Link { alias, ..link(&end.name, mac) };
        assert!(end.is(&link(ours, Mac([2; 6])), &attachment("eth0")));
        assert!(end.is(&link(None, end.mac), &attachment("eth0")));
        assert!(end.is(&link(Some("port 7".into()), end.mac), &attachment("eth0")));
        assert!(!end.is(&link(None, Mac([2; 6])), &attachment("eth0")));
        assert!(!end.is(&link(theirs, end.mac), &attachment("eth0")));
    }
}
