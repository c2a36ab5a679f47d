//! GC: remove the ifbs of attachments that are not valid any more.

use cni::{Attachment, Request, ValidAttachment};
use linux::{Link, Rtnetlink};

use crate::error::{Error, Result};

/// Goes by the aliases, which tell network, container and interface. A device without one may belong to an
/// attachment of another network, and stays.
pub(crate) fn gc(request: &Request) -> Result<()> {
    let Some(valid) = request.valid_attachments()? else { return Ok(()) };
    let mut host = Rtnetlink::open()?;
    let stale = |link: &Link| is_stale(link.alias.as_deref(), &request.network, &valid);
    let mut failures = Vec::new();
    for ifb in host.ifbs()?.into_iter().filter(stale) {
        failures.extend(host.delete_link(ifb.index).err());
    }
    if failures.is_empty() { Ok(()) } else { Err(Error::Remains(failures)) }
}

fn is_stale(alias: Option<&str>, network: &str, valid: &[ValidAttachment]) -> bool {
    alias.and_then(Attachment::parse).is_some_and(|owner| {
        owner.network == network
            && !valid
                .iter()
                .any(|valid| valid.container_id == owner.container_id && valid.interface == owner.interface)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_devices_of_this_network_whose_attachment_is_gone_are_stale() {
        let valid = [ValidAttachment { container_id: "c1".into(), interface: "eth0".into() }];
        let stale = |alias| is_stale(alias, "cbr0", &valid);
        assert!(stale(Some("weir container=c2 interface=eth0 network=cbr0 pod=shop/web-0")));
        assert!(stale(Some("weir container=c1 interface=eth1 network=cbr0")));
        assert!(!stale(Some("weir container=c1 interface=eth0 network=cbr0")));
        assert!(!stale(Some("weir container=c2 interface=eth0 network=other")));
        assert!(!stale(Some("somebody else's")));
        assert!(!stale(None));
    }
}
