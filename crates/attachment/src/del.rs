//! DEL: remove what there is of the attachment, in an order that lets the kernel's waits overlap.

use cni::{Answer, Failure, Request, code};
use nft::Nftables;

use crate::claimant::claimant;
use crate::config::Asked;
use crate::error::{Error, Result};
use crate::ipam::Ipam;
use crate::masquerade;
use crate::pair::Pair;
use crate::reference::{self, Maker};

/// Removes the attachment. `remove_own` removes the plugin's own entries in nf_tables and gets the name of the host's
/// end where it is known. It is called when the device is gone.
///
/// Weir's own objects are found without `prevResult`, and of the config only the IPAM plugin's name is needed: the
/// config may have changed since ADD, and a DEL that refuses is a leak.
///
/// The masquerade entry goes first. The kernel frees it after a grace period, for which closing the socket waits;
/// deleting the device waits for grace periods of its own, so the socket stays open until that is over. The addresses
/// are released last, when the device is known to be gone: another pod gets them at once. An IPAM plugin that is
/// executed may need the interface (`dhcp` sends its release by it): it is asked when the addresses are off, before the
/// device goes.
///
/// # Errors
/// Everything that could not be removed.
pub fn del<E: Into<Failure>>(
    request: &Request,
    remove_own: impl FnOnce(&mut Nftables, Option<&str>) -> std::result::Result<(), E>,
) -> Answer<()> {
    let mut errors = Vec::new();
    let mut nftables = open_nftables().unwrap_or_else(|error| keep(&mut errors, error));
    let masqueraded =
        nftables.as_mut().is_some_and(|nftables| match masquerade::remove(nftables, &claimant(request)) {
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
            errors.extend(ipam.release().err().map(Failure::from));
        }
        is_gone = match pair.delete() {
            Ok(()) => true,
            Err(error) => keep(&mut errors, error),
        };
    }
    let asked = Asked::of(request);
    if let Some(nftables) = nftables.as_mut() {
        let host_name = pair.as_ref().and_then(Pair::host_name);
        errors.extend(remove_own(nftables, host_name).err().map(Into::into));
    }
    errors.extend(reference::remove(nftables.as_mut(), request, maker, asked).into_iter().map(Failure::from));
    drop(nftables);
    if is_gone {
        errors.extend(ipam.release().err().map(Failure::from));
    } else if ipam.is_due() {
        let sentence = format!(
            "the addresses of container {} stay reserved: its interface may still have them; call DEL again",
            request.container_id()
        );
        errors.push(Failure::new(code::INTERNAL, sentence));
    }
    cni::collected(errors)
}

/// Keeps the error for the end and returns the default.
fn keep<T: Default>(errors: &mut Vec<Failure>, error: Error) -> T {
    errors.push(error.into());
    T::default()
}

/// Opens nf_tables. A kernel without it has nothing to remove there.
pub(crate) fn open_nftables() -> Result<Option<Nftables>> {
    match Nftables::open() {
        Err(linux::Error::MissingFeature { .. }) => Ok(None),
        nftables => Ok(Some(nftables?)),
    }
}
