//! Whether a limit is in effect: packets must come to its filter, and go on from there.

use limits::Direction;
use linux::{Hook, Link, Rtnetlink, Rule};

use crate::error::Result;
use crate::forwarded;
use crate::ifb;
use crate::kernel::Kernel;
use crate::recorded::Recorded;
use crate::redirection::{self, Way};
use crate::shaper::{self, Place, Shaper};
use crate::shaping;
use crate::subnets::hook;

/// Why a limit is not in effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotInEffect {
    /// Packets can bypass the filter.
    #[error(
        "{first} at the {hook} hook sees its packets first, and those that it accepts bypass the limit; `weir limit` with the same rate redirects them by nf_tables where the kernel can"
    )]
    Bypassed {
        /// The filter or program of another program.
        first: String,
        /// `ingress`, `egress` or `root`.
        hook: String,
    },
    /// Everything is dropped.
    #[error("its ifb device {0} is down: everything is dropped")]
    IfbDown(String),
    /// Everything is dropped.
    #[error("the ifb device that its packets are redirected to is gone: everything is dropped")]
    DeadEnd,
    /// No packets come to the filter.
    #[error("nothing redirects its packets to ifb device {0}")]
    NoRedirect(String),
    /// There is no filter.
    #[error("{0} has lost its token bucket filter")]
    NotShaped(String),
    /// The table is switched off.
    #[error("nf_tables table netdev weir is dormant; `nft add table netdev weir` wakes it")]
    Dormant,
    /// Rules of the redirection are missing.
    #[error("rules of chain {0} of nf_tables table netdev weir are missing")]
    RulesMissing(String),
    /// Full packets are dropped.
    #[error(
        "full packets have {packet} bytes at the present MTU and the burst is {burst} bytes: they are dropped; `weir limit` with the same rate sets a burst that fits"
    )]
    BurstBelowPacket {
        /// A full packet in bytes.
        packet: u64,
        /// The burst in bytes.
        burst: u32,
    },
}

/// Returns why packets of a direction do not come to this filter or do not go on from there; none when they do.
pub(crate) fn fault(
    kernel: &mut Kernel<'_>,
    host_end: &Link,
    direction: Direction,
    shaper: &Shaper,
) -> Result<Option<NotInEffect>> {
    let way = match &shaper.place {
        Place::Root => return Ok(None),
        Place::Class => return bypass(kernel, host_end, Hook::Root, Rule::CLASS),
        Place::Ifb(way) => way,
    };
    if !shaper.link.up {
        return Ok(Some(NotInEffect::IfbDown(shaper.link.name.clone())));
    }
    match way {
        Way::Rules => bypass(kernel, host_end, hook(direction), shaper.link.index),
        Way::Chain(chain) => {
            let Some(nftables) = kernel.nftables()? else { return Ok(None) };
            if forwarded::are_dormant(nftables)? == Some(true) {
                return Ok(Some(NotInEffect::Dormant));
            }
            let is_whole = forwarded::subnets(nftables, chain)?.is_some();
            Ok((!is_whole).then(|| NotInEffect::RulesMissing(chain.link_name.clone())))
        }
    }
}

fn bypass(kernel: &mut Kernel<'_>, host_end: &Link, hook: Hook, to: u32) -> Result<Option<NotInEffect>> {
    let first = kernel.host.filter_before(host_end.index, hook, to)?;
    Ok(first.map(|first| NotInEffect::Bypassed { first, hook: hook.to_string() }))
}

/// Checks whether full packets are larger than the burst, as after a raise of the MTU.
fn burst_below_packet(host: &mut Rtnetlink, host_end: &Link, shaper: &Shaper) -> Result<Option<NotInEffect>> {
    let passes = |mtu: u32| shaping::lets_pass(&shaper.tbf, shaping::packet_bytes(mtu));
    // The bursts of the reference overflow: the kernel shows other numbers.
    if !shaper.qdisc.tells_ethernet || passes(host_end.mtu) {
        return Ok(None);
    }
    // A process without the right to look at the pod's end knows the host's end only.
    let pod_end = host.peer(host_end).ok().flatten();
    let mtu = pod_end.map_or(host_end.mtu, |end| end.mtu.min(host_end.mtu));
    let (packet, burst) = (shaping::packet_bytes(mtu), shaper.tbf.burst_bytes);
    Ok((!passes(mtu)).then_some(NotInEffect::BurstBelowPacket { packet, burst }))
}

/// Finds the traces of a limit without a filter that packets go through: a redirection, the attachment's ifb, the record of
/// a live change. None where there seems to have been no limit.
pub(crate) fn remains(
    kernel: &mut Kernel<'_>,
    host_end: &Link,
    direction: Direction,
    devices: &[Link],
    recorded: Option<Recorded>,
) -> Result<Option<NotInEffect>> {
    for (to, _) in redirection::targets(kernel, host_end, direction)? {
        match kernel.host.link_by_index(to)? {
            None => return Ok(Some(NotInEffect::DeadEnd)),
            Some(link) if link.is(ifb::KIND) => return Ok(Some(NotInEffect::NotShaped(link.name))),
            Some(_) => {}
        }
    }
    if let Some(ifb) = devices.iter().find(|ifb| ifb::is_for(ifb, direction))
        && !kernel.host.root_qdisc(ifb.index)?.and_then(|qdisc| qdisc.tbf).is_some_and(|tbf| tbf.is_open())
    {
        return Ok(Some(NotInEffect::NoRedirect(ifb.name.clone())));
    }
    let was_limited = recorded.is_some_and(|recorded| recorded.limit.is_some());
    Ok(was_limited.then(|| NotInEffect::NotShaped(host_end.name.clone())))
}

/// Finds the filter of a direction, unless it is open, and why the limit is not in effect.
pub(crate) fn look(
    kernel: &mut Kernel<'_>,
    host_end: &Link,
    direction: Direction,
    devices: &[Link],
    recorded: Option<Recorded>,
) -> Result<(Option<Shaper>, Option<NotInEffect>)> {
    match shaper::find(kernel, host_end, direction)? {
        Some(shaper) if shaper.tbf.is_open() => Ok((None, None)),
        Some(shaper) => {
            let fault = match fault(kernel, host_end, direction, &shaper)? {
                None => burst_below_packet(kernel.host, host_end, &shaper)?,
                fault => fault,
            };
            Ok((Some(shaper), fault))
        }
        // Without root the redirection cannot be seen.
        None if direction == Direction::Egress && kernel.is_denied => {
            let ifb = devices.iter().find(|ifb| ifb::is_for(ifb, direction)).cloned();
            Ok((ifb.map_or(Ok(None), |ifb| Shaper::at_ifb_of(kernel.host, ifb))?, None))
        }
        None => Ok((None, remains(kernel, host_end, direction, devices, recorded)?)),
    }
}
