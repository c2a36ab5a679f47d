//! The attachment that an interface of the host belongs to.
//!
//! Its alias names it. The host's end of a pod's interface is found by both interface index and network
//! namespace: an index alone means something else in each namespace, and so do paths and process IDs after a while.

use cni::Attachment;
use linux::{Link, Namespace, Rtnetlink};

/// The beginning of the alias of an interface that another plugin created and weir limits.
pub const SHAPED: &str = "weir-shaped ";
/// The beginning of the alias of an interface that weir created.
const CREATED: &str = "weir ";

/// The owner of an interface of the host, as its alias tells an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// Weir created it for the attachment.
    This,
    /// Another plugin created it, and weir limits it for the attachment.
    ThisShaped,
    /// It belongs to this other attachment.
    Other(Attachment),
    /// Nothing, or a text that is not weir's.
    Unknown,
}

impl Owner {
    /// Reads the alias of `link`.
    pub fn of(link: &Link, attachment: &Attachment) -> Self {
        match named(link) {
            None => Self::Unknown,
            Some(named) if !attachment.is_same(&named) => Self::Other(named),
            Some(_) if link.alias.as_deref().is_some_and(|alias| attachment.is_named_by(alias)) => Self::This,
            Some(_) => Self::ThisShaped,
        }
    }
}

/// Returns the host's end of the pod's interface `end` in `namespace`, and its owner; none when the peer is in a third
/// namespace, or gone, or not a veth device.
///
/// The socket's namespace must be the calling thread's.
///
/// # Errors
/// The kernel's refusal.
pub fn host_end_of(
    host: &mut Rtnetlink,
    end: &Link,
    namespace: &Namespace,
    attachment: &Attachment,
) -> linux::Result<Option<(Link, Owner)>> {
    let host_end = host.local_peer(end, namespace)?.filter(|link| link.is("veth"));
    Ok(host_end.map(|link| {
        let owner = Owner::of(&link, attachment);
        (link, owner)
    }))
}

/// Returns the attachment that the alias of an interface names, whether weir created the interface or only limits it.
pub fn named(link: &Link) -> Option<Attachment> {
    let alias = link.alias.as_deref()?;
    let named = match alias.strip_prefix(SHAPED) {
        Some(rest) => Attachment::parse(&format!("{CREATED}{rest}")),
        None => Attachment::parse(alias),
    };
    named.filter(|attachment| !attachment.container_id.is_empty())
}

/// Returns the attachment for which weir created an interface, by its alias.
pub fn created_for(link: &Link) -> Option<Attachment> {
    link.alias.as_deref().and_then(Attachment::parse)
}

#[cfg(test)]
mod tests {
    use linux::Mac;

    use super::*;

    fn attachment(container_id: &str) -> Attachment {
        Attachment {
            network: "n".into(),
            container_id: container_id.into(),
            interface: "eth0".into(),
            pod: None,
        }
    }

    #[test]
    fn an_interface_belongs_to_the_attachment_that_its_alias_names() {
        let owner = |alias: Option<String>| {
            Owner::of(
                &Link { alias, ..crate::host_end::tests::link("veth1", Mac([2; 6])) },
                &attachment("c1"),
            )
        };
        let shaped =
            |container_id: &str| Some(attachment(container_id).to_string().replacen(CREATED, SHAPED, 1));
        assert_eq!(owner(Some(attachment("c1").to_string())), Owner::This);
        assert_eq!(owner(Some(attachment("c1").with_notes("ingress=none"))), Owner::This);
        assert_eq!(owner(shaped("c1")), Owner::ThisShaped);
        assert_eq!(owner(Some(attachment("c2").to_string())), Owner::Other(attachment("c2")));
        assert_eq!(owner(shaped("c2")), Owner::Other(attachment("c2")));
        for text in [None, Some(String::new()), Some("uplink to rack 7".into()), Some(SHAPED.into())] {
            assert_eq!(owner(text), Owner::Unknown);
        }
    }
}
