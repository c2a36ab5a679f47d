//! STATUS: the config's keys are ones that ADD takes, and the kernel has what the rules need.

use attachment::not_ready;
use cni::{Answer, Failure, Request, code};
use linux::{Family, are_available, in_new_namespace};
use nft::Nftables;

use crate::config::Settings;
use crate::iptables::{self, CNI_FORWARD, table};

pub(crate) fn status(request: &Request) -> Answer<()> {
    let unready = |failure: attachment::Error| Failure { code: code::NOT_AVAILABLE, ..failure.into() };
    let settings = Settings::of(request).map_err(unready)?;
    probe(&settings).map_err(|error| not_ready(request, error))
}

/// Rules in use prove it, and so do the modules. Otherwise the chains are made in a network namespace that ends with
/// the call.
fn probe(settings: &Settings) -> linux::Result<()> {
    let mut nftables = Nftables::open()?;
    if nftables.has_chain(table(Family::V4), CNI_FORWARD).is_ok_and(|exists| exists)
        || are_available(&["nf_tables", "nft_compat", "xt_conntrack", "xt_comment"])
    {
        return Ok(());
    }
    in_new_namespace(|| iptables::ensure(&mut Nftables::open()?, Family::V4, &settings.admin_chain))?
}
