//! The host's end of a pod's veth pair, found from the pod's end: whoever made the pair, whatever its name.

use cni::Request;
use linux::{Link, Namespace, Rtnetlink};

use crate::error::{Error, Result};

const VETH: &str = "veth";

/// Looks `CNI_IFNAME` up in `CNI_NETNS` and follows it to its other end in this namespace.
///
/// # Errors
/// When there is no such interface, it is no veth, or its other end is not in this namespace.
pub(crate) fn find(request: &Request, host: &mut Rtnetlink) -> Result<Link> {
    let netns = request.netns().unwrap_or_default();
    let interface = request.interface();
    let namespace = Namespace::open(netns).map_err(Error::of_namespace)?;
    let mut pod = namespace.rtnetlink().map_err(Error::of_namespace)?;
    let end = pod
        .link_by_name(interface)?
        .ok_or_else(|| Error::NoInterface { interface: interface.to_owned(), netns: netns.to_owned() })?;
    if !end.is(VETH) {
        return Err(Error::NotVeth {
            interface: interface.to_owned(),
            netns: netns.to_owned(),
            kind: end.kind.unwrap_or_else(|| "physical or loopback".to_owned()),
        });
    }
    host.other_end(&end, &namespace)?
        .filter(|other| other.is(VETH))
        .ok_or_else(|| Error::NoHostEnd { interface: interface.to_owned(), netns: netns.to_owned() })
}
