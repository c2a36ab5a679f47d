//! `macspoofchk`: a pod sends with the hardware address that it was attached with, and with no other.
//!
//! As in the reference, that is the address at the time of ADD: where a later plugin of the chain changes it,
//! nothing that the pod sends arrives.

use attachment::{HostEnd, Result, differs, owner};
use cni::{Failure, Request, code};
use linux::{Link, Mac};
use nft::Nftables;

/// Begins before the pod's end is up: there is no moment in which something else passes.
pub(crate) fn begin(request: &Request, port: &Link, mac: Mac) -> Result<()> {
    Ok(Nftables::open()
        .and_then(|mut nftables| nftables.add_spoof_check(&owner(request), &port.name, mac))
        .map_err(failed)?)
}

/// Ends it; `port` is the host's end, if it is known.
pub(crate) fn end(nftables: &mut Nftables, request: &Request, port: Option<&str>) -> Result<()> {
    let usual = HostEnd::candidate(&request.attachment(), 0).name;
    nftables.remove_spoof_check(&owner(request), port.unwrap_or(&usual)).map_err(failed)?;
    Ok(())
}

/// Looks whether it is in force.
pub(crate) fn check(request: &Request, port: &Link) -> Result<()> {
    let fault = Nftables::open()
        .and_then(|mut nftables| nftables.check_spoof_check(&owner(request), &port.name))
        .map_err(failed)?;
    fault.map_or(Ok(()), |fault| differs(format_args!("macspoofchk: {fault}")))
}

/// The kernel refused.
pub(crate) fn failed(error: linux::Error) -> Failure {
    Failure::new(code::INTERNAL, format!("macspoofchk: {error}"))
}
