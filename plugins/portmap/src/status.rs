//! STATUS: whether the config's keys are ones that ADD takes, and the kernel can forward ports.

use attachment::not_ready;
use cni::{Answer, Failure, Request, code};
use nft::Nftables;

use crate::config::Settings;
use crate::table;

pub(crate) fn status(request: &Request) -> Answer<()> {
    Settings::of(request).map_err(|error| Failure { code: code::NOT_AVAILABLE, ..error.into() })?;
    let probe = || table::probe(&mut Nftables::open()?);
    probe().map_err(|error| not_ready(request, error))
}
