//! STATUS: whether the kernel can limit pods as the config wants it, and whether ADD accepts the config's keys.

use cni::{Failure, Request};
use limits::Direction;
use linux::{Rtnetlink, Tbf, are_available, in_new_namespace};

use crate::config::Settings;
use crate::error::{Error, Result};
use crate::forwarded;
use crate::ifb;
use crate::kernel::Kernel;
use crate::layout::Layout;
use crate::shaper::Root;
use crate::subnets::Subnets;

/// A runtime may ask every half second. So a feature counts as available when its module is there or when it is in use.
/// Only otherwise a link is limited as ADD would do it, in a network namespace that ends with the call.
pub(crate) fn status(request: &Request) -> Result<()> {
    let Settings { subnets, .. } = Settings::of_call(request)?;
    if has_modules(&subnets) || is_in_use(&mut Rtnetlink::open()?, &subnets)? {
        return Ok(());
    }
    let missing = in_new_namespace(|| try_out(&subnets)).map_err(Error::from).flatten().map_err(|error| {
        Failure::not_ready(format!("cannot tell whether this kernel can shape pods: {error}"))
    })?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::not_ready(format!("this kernel cannot shape pods: it has no {}", missing.join(", no ")))
        .into())
}

/// Whether the kernel has the modules that ADD needs.
fn has_modules(subnets: &Subnets) -> bool {
    const IFB: [&str; 2] = ["ifb", "sch_tbf"];
    /// For the chain, and for the rules that replace it on other kernels.
    const CHAIN: [&str; 2] = ["nf_tables", "nft_fwd_netdev"];
    const RULES: [&str; 3] = ["sch_ingress", "cls_u32", "act_mirred"];
    /// To exempt a part of the traffic to a pod.
    const CLASSES: [&str; 2] = ["sch_htb", "cls_u32"];
    are_available(&IFB)
        && (are_available(&RULES)
            || are_available(&CHAIN) && (*subnets == Subnets::All || are_available(&CLASSES)))
}

/// Whether a link of this node is limited as ADD would do it. The table is created with the first chain, when its ifb is
/// shaped, and stays.
fn is_in_use(host: &mut Rtnetlink, subnets: &Subnets) -> Result<bool> {
    let limits_everything = *subnets == Subnets::All;
    if limits_everything
        && let Some(nftables) = Kernel::new(host).nftables()?
        && forwarded::are_dormant(nftables).is_ok_and(|dormant| dormant.is_some())
    {
        return Ok(true);
    }
    for ifb in host.links_of_kind(ifb::KIND)? {
        // A device that is gone by now has none.
        let has_filter =
            host.root_qdisc(ifb.index).is_ok_and(|qdisc| qdisc.is_some_and(|qdisc| qdisc.tbf.is_some()));
        if has_filter && (limits_everything || has_classes(host, &ifb)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the host's end of an ifb has classes.
fn has_classes(host: &mut Rtnetlink, ifb: &linux::Link) -> Result<bool> {
    let Some(name) = ifb::host_end(ifb) else { return Ok(false) };
    let Some(host_end) = host.link_by_name(name)? else { return Ok(false) };
    Ok(matches!(Root::of(host, &host_end), Ok(Root::Classes(_))))
}

/// Limits both directions of this namespace's `lo`. Returns the features that the kernel lacks for that.
fn try_out(subnets: &Subnets) -> Result<Vec<String>> {
    let mut host = Rtnetlink::open()?;
    let tbf = Tbf { rate_bytes_per_sec: 1_000_000, burst_bytes: 100_000, limit_bytes: 100_000 };
    let Some(loopback) = host.link_by_name("lo")? else { return Ok(Vec::new()) };
    let host_end = &linux::Link { mtu: 1500, ..loopback };
    let mut kernel = Kernel::new(&mut host);
    let mut missing = Vec::new();
    for direction in [Direction::Ingress, Direction::Egress] {
        match (Layout { host_end, attachment: None, direction, subnets }).make(&mut kernel, &tbf) {
            Err(Error::Kernel(linux::Error::MissingFeature { feature, .. })) => {
                missing.push(feature.to_string())
            }
            made => drop(made?),
        }
    }
    missing.dedup();
    Ok(missing)
}
