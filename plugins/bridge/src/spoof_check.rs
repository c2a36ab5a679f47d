//! `macspoofchk`: a pod sends with the hardware address that it was attached with, and with no other.
//!
//! As in the reference, that is the address at the time of ADD: where a later plugin of the chain changes it,
//! nothing that the pod sends arrives.

use attachment::check::differs;
use attachment::{HostEnd, owner};
use cni::Request;
use linux::{Link, Mac};
use nft::Nftables;

use crate::error::{Error, Result};

/// Begins before the pod's end is up: there is no moment in which something else passes.
pub(crate) fn begin(request: &Request, port: &Link, mac: Mac) -> Result<()> {
    Nftables::open()
        .and_then(|mut nftables| nftables.add_spoof_check(&owner(request), &port.name, mac))
        .map_err(Error::SpoofCheck)
}

/// Ends it; `port` is the host's end, if it is known.
pub(crate) fn end(nftables: &mut Nftables, request: &Request, port: Option<&str>) -> Result<()> {
    let usual = HostEnd::candidate(&request.attachment(), 0).name;
    nftables.remove_spoof_check(&owner(request), port.unwrap_or(&usual)).map(drop).map_err(Error::SpoofCheck)
}

/// Looks whether it is in force.
pub(crate) fn check(request: &Request, port: &Link) -> Result<()> {
    let fault = Nftables::open()
        .and_then(|mut nftables| nftables.check_spoof_check(&owner(request), &port.name))
        .map_err(Error::SpoofCheck)?;
    fault.map_or(Ok(()), |fault| differs(format_args!("macspoofchk: {fault}")))
}
