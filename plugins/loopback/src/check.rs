//! CHECK: `lo` is up.

use cni::Request;
use linux::Namespace;

use crate::LOOPBACK;
use crate::error::{Error, Result};

pub(crate) fn check(request: &Request) -> Result<()> {
    let netns = request.netns().unwrap_or_default();
    let namespace = Namespace::open(netns).map_err(Error::of_namespace)?;
    let mut rtnetlink = namespace.rtnetlink().map_err(Error::of_namespace)?;
    match rtnetlink.link_by_name(LOOPBACK)? {
        None => Err(Error::NoLoopback { netns: netns.to_owned() }),
        Some(link) if !link.up => Err(Error::Down { netns: netns.to_owned() }),
        Some(_) => Ok(()),
    }
}
