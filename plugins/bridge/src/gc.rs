//! GC: pairs and spoof checks.

use attachment::Collection;
use cni::{Answer, Request};

use crate::spoof_check;

/// Removes the spoof checks after the pairs: frames are checked until their device is gone.
pub(crate) fn gc(request: &Request) -> Answer<()> {
    let mut collection = Collection::begin(request)?;
    let spoof_checks = collection.list(spoof_check::list);
    collection.delete_pairs();
    collection.remove_stale(
        spoof_checks,
        |(claimant, _)| claimant,
        |nftables, (claimant, port)| spoof_check::remove_of(nftables, claimant, port),
    );
    collection.end()
}
