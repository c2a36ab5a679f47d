//! DEL: remove the attachment's ifb, and with it the veth pair if that is weir's too.

use cni::Request;
use linux::Rtnetlink;

use crate::error::Result;
use crate::{host_end, ifb};

/// Reads nothing of the config but the network's name: a limit that cannot be read must not keep a device.
///
/// The kernel takes some 20 ms to delete a link, and hardly more for two at once. The pair is deleted by
/// `bridge`, whose DEL comes next; so it goes with the ifb here, but only when its alias says that weir made
/// it for this very attachment. What another main plugin made is left to that plugin.
pub(crate) fn del(request: &Request) -> Result<()> {
    let mut host = Rtnetlink::open()?;
    let attachment = request.attachment();
    let Some(ifb) = ifb::find(&mut host, &attachment)? else { return Ok(()) };
    // Without a namespace there is no pair: the kernel has deleted it.
    let pair = host_end::find(request, &mut host)
        .ok()
        .filter(|link| link.alias.as_deref().is_some_and(|alias| attachment.is_named_by(alias)));
    match pair {
        Some(pair) => host.delete_links(&[ifb.index, pair.index])?,
        None => host.delete_link(ifb.index)?,
    }
    Ok(())
}
