//! CHECK: what the kernel shows is what ADD would program.

use cni::Request;
use linux::{Link, Rtnetlink};

use crate::choice::Choice;
use crate::config::{Limit, Limits};
use crate::error::{Error, Result};
use crate::{host_end, ifb, shaping};

pub(crate) fn check(request: &Request) -> Result<()> {
    let limits = Limits::of(request)?;
    if request.prev_result.is_none() {
        return Err(Error::NotChained);
    }
    if limits.is_empty() {
        return Ok(());
    }
    let mut host = Rtnetlink::open()?;
    let host_end = host_end::find(request, &mut host)?;
    if let Some(limit) = limits.ingress {
        check_filter(&mut host, &host_end, &limit, host_end.mtu, &limits.choice)?;
    }
    if let Some(limit) = limits.egress {
        let attachment = request.attachment();
        let ifb = ifb::find(&mut host, &attachment)?
            .ok_or_else(|| Error::NoIfb { names: ifb::names(&attachment).join(" or ") })?;
        if !ifb.up {
            return Err(Error::IfbDown { ifb: ifb.name });
        }
        check_filter(&mut host, &ifb, &limit, host_end.mtu, &limits.choice)?;
        let redirects = host.redirects(host_end.index)?;
        if !redirects.iter().any(|redirect| redirect.to == ifb.index) {
            return Err(Error::NoRedirect { host_end: host_end.name, ifb: ifb.name });
        }
    }
    Ok(())
}

/// Of a filter that the reference plugin made, only the rate counts: its burst and queue overflow 32 bits for
/// the bursts that runtimes send, and the pod must outlive the exchange of the executable. It is known by the
/// link layer, which the reference does not tell the kernel.
fn check_filter(host: &mut Rtnetlink, link: &Link, limit: &Limit, mtu: u32, choice: &Choice) -> Result<()> {
    let qdisc = host.root_qdisc(link.index)?;
    let found = || qdisc.as_ref().map_or("none", |qdisc| qdisc.kind.as_str()).to_owned();
    let Some((shown, ours)) = qdisc.as_ref().and_then(|qdisc| Some((qdisc.tbf?, qdisc.tells_ethernet)))
    else {
        return Err(Error::NotShaped { interface: link.name.clone(), found: found() });
    };
    let want = shaping::tbf(limit, mtu, choice);
    let differs = |what, unit, shown: u64, want: u64| {
        Err(Error::Differs { interface: link.name.clone(), what, unit, shown, want })
    };
    if shown.rate_bytes_per_sec != want.rate_bytes_per_sec {
        return differs("rate", "bytes per second", shown.rate_bytes_per_sec, want.rate_bytes_per_sec);
    }
    if ours && !want.allows_burst(shown.burst_bytes) {
        return differs("burst", "bytes", shown.burst_bytes.into(), want.burst_bytes.into());
    }
    if ours && shown.limit_bytes != want.limit_bytes {
        return differs("queue limit", "bytes", shown.limit_bytes.into(), want.limit_bytes.into());
    }
    Ok(())
}
