//! DEL: the attachment and its spoof check.

use cni::{Answer, Request};

use crate::spoof_check;

/// Removes the spoof check whether the config has `macspoofchk` or not. A check that stayed would drop the frames of
/// the container when it is attached again, because its port has the same name.
pub(crate) fn del(request: &Request) -> Answer<()> {
    attachment::del(request, |nftables, host_name| spoof_check::remove(nftables, request, host_name))
}
