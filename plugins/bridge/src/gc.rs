//! GC.

use attachment::Collection;
use cni::{Answer, Request};

use crate::spoof_check::failed;

/// The spoof checks are removed after the pairs: frames are checked until their device is gone.
pub(crate) fn gc(request: &Request) -> Answer<()> {
    let mut collection = Collection::begin(request)?;
    let spoof_checks = collection.list(|nftables| nftables.spoof_checks().map_err(failed));
    collection.delete_pairs();
    collection.remove_stale(
        spoof_checks,
        |(attachment, _)| attachment,
        |nftables, (attachment, port)| {
            nftables.remove_listed_spoof_check(attachment, port).map(drop).map_err(failed)
        },
    );
    collection.end()
}
