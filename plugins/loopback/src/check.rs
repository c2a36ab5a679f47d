//! CHECK: `lo` is up.

use attachment::{Result, differs, of_namespace};
use cni::Request;
use linux::Namespace;

use crate::{LOOPBACK, missing};

pub(crate) fn check(request: &Request) -> Result<()> {
    let netns = request.netns().unwrap_or_default();
    let namespace = Namespace::open(netns).map_err(of_namespace)?;
    let mut rtnetlink = namespace.rtnetlink().map_err(of_namespace)?;
    match rtnetlink.link_by_name(LOOPBACK)? {
        None => Err(missing(netns).into()),
        Some(link) if !link.up => {
            differs(format_args!("interface {LOOPBACK} in {netns} is down; ADD had brought it up"))
        }
        Some(_) => Ok(()),
    }
}
