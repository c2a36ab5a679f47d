//! DEL: remove what there is of the attachment, in an order that lets the kernel's waits overlap.

use cni::Request;
use nft::Nftables;

use crate::add::owner;
use crate::config::Asked;
use crate::error::{Error, Result};
use crate::ipam::Ipam;
use crate::pair::Pair;
use crate::reference::{self, Maker};
use crate::spoof_check;

/// What weir made is found without `prevResult`, and without the config but for the IPAM plugin's name: it may
/// have changed since ADD, and a DEL that refuses is a leak. That goes for the spoof check, too: what is left of it
/// would drop what the container sends when it is attached again.
///
/// The masquerade entry goes first. The kernel frees it after a grace period, for which closing the
/// socket waits; deleting the device waits for grace periods of its own, so the socket stays open until
/// that is over. Frames are checked until the device is gone. The addresses are released last, when the device is
/// known to be gone: another pod gets them at once. An IPAM plugin that is executed may need the interface (`dhcp`
/// sends its release by it): it is asked when the addresses are off, before the device goes.
pub(crate) fn del(request: &Request) -> Result<()> {
    let mut errors = Vec::new();
    let mut nftables = open_nftables().unwrap_or_else(|error| keep(&mut errors, error));
    let masqueraded =
        nftables.as_mut().is_some_and(|nftables| match nftables.remove_masquerade(&owner(request)) {
            Ok(found) => found,
            Err(error) => keep(&mut errors, error.into()),
        });
    let found = Pair::find(request);
    let mut is_gone = matches!(found, Ok(None));
    let mut pair = found.unwrap_or_else(|error| keep(&mut errors, error));
    let maker = match &pair {
        _ if masqueraded => Maker::Weir,
        Some(pair) => pair.maker,
        None => Maker::by_result(request),
    };
    let mut ipam = Ipam::of(request);
    if let Some(pair) = &mut pair {
        if ipam.needs_interface() && pair.take_addresses(request).unwrap_or(false) {
            errors.extend(ipam.release().err());
        }
        is_gone = match pair.delete() {
            Ok(()) => true,
            Err(error) => keep(&mut errors, error),
        };
    }
    let asked = Asked::of(request);
    if let Some(nftables) = nftables.as_mut() {
        let host_name = pair.as_ref().and_then(Pair::host_name);
        errors.extend(spoof_check::end(nftables, request, host_name).err());
    }
    errors.extend(reference::remove(nftables.as_mut(), request, maker, asked));
    drop(nftables);
    if is_gone {
        errors.extend(ipam.release().err());
    } else if ipam.is_due() {
        errors.push(Error::AddressesKept { container_id: request.container_id().to_owned() });
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::Several(errors)) }
}

/// Keeps the error for the end and goes on with nothing.
fn keep<T: Default>(errors: &mut Vec<Error>, error: Error) -> T {
    errors.push(error);
    T::default()
}

/// A kernel without nf_tables has nothing to remove there.
fn open_nftables() -> Result<Option<Nftables>> {
    match Nftables::open() {
        Err(linux::Error::MissingFeature { .. }) => Ok(None),
        nftables => Ok(Some(nftables?)),
    }
}
