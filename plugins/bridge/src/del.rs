//! DEL.

use cni::{Answer, Request};

use crate::spoof_check;

/// The spoof check goes whether the config asks for it or not: what is left of one would drop what the container sends
/// when it is attached again, for its port has the same name.
pub(crate) fn del(request: &Request) -> Answer<()> {
    attachment::del(request, |nftables, host_name| spoof_check::remove(nftables, request, host_name))
}
