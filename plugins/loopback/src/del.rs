//! DEL: take `lo` down, if its namespace is still there.

use cni::Request;
use linux::Namespace;

use crate::LOOPBACK;
use crate::error::{Error, Result};

pub(crate) fn del(request: &Request) -> Result<()> {
    let Some(netns) = request.netns() else { return Ok(()) };
    let Some(mut rtnetlink) = Namespace::rtnetlink_if_alive(netns).map_err(Error::of_namespace)? else {
        return Ok(());
    };
    if let Some(link) = rtnetlink.link_by_name(LOOPBACK)? {
        rtnetlink.set_down(link.index)?;
    }
    Ok(())
}
