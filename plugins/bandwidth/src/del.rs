//! DEL: remove the attachment's ifb. The filters at the host's end go away with the veth pair, which is the
//! main plugin's.

use cni::Request;
use linux::Rtnetlink;

use crate::error::Result;
use crate::ifb;

/// Reads nothing of the config but the network's name: a limit that cannot be read must not keep a device.
pub(crate) fn del(request: &Request) -> Result<()> {
    let mut host = Rtnetlink::open()?;
    if let Some(ifb) = ifb::find(&mut host, &request.attachment())? {
        host.delete_link(ifb.index)?;
    }
    Ok(())
}
