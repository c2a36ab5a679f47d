//! CHECK: compares what the kernel shows with what ADD would program, or with what a live change recorded.

use cni::{Failure, Request};
use limits::{Direction, Limit};
use linux::{Hook, Link, Rtnetlink, Rule, Tbf};

use crate::config::Settings;
use crate::effect::{self, NotInEffect};
use crate::error::{Error, Result};
use crate::forwarded::{self, Forward};
use crate::host_end::{self, Pair};
use crate::kernel::Kernel;
use crate::record;
use crate::recorded::{Record, Recorded};
use crate::redirection::{self, Way};
use crate::shaper::{self, Place, Shaper};
use crate::subnets::{Subnets, hook};
use crate::timing::Timing;
use crate::{ifb, shaping};

/// What an Ethernet can have (`ETH_MIN_MTU` and `ETH_MAX_MTU` in uapi/linux/if_ether.h).
const MTUS: std::ops::RangeInclusive<u32> = 68..=65_535;

pub(crate) fn check(request: &Request) -> Result<()> {
    let settings = Settings::of_call(request)?;
    if request.prev_result.is_none() {
        return Err(Failure::not_chained().into());
    }
    let mut host = Rtnetlink::open()?;
    let devices = ifb::all(&mut host, &request.attachment())?;
    let pair = match find_pair(request, &mut host, &devices) {
        // An interface that cannot be shaped has no limits to check.
        Err(_) if settings.is_empty() => return Ok(()),
        pair => pair?,
    };
    let record = record::read(&pair.host_end, &devices.iter().collect::<Vec<_>>());
    let mut kernel = Kernel::new(&mut host);
    for direction in [Direction::Ingress, Direction::Egress] {
        let (host_end, mtu) = (&pair.host_end, pair.mtu());
        Checked { kernel: &mut kernel, host_end, mtu, devices: &devices, direction }
            .check(&settings, &record)?;
    }
    Ok(())
}

/// Finds the attachment's pair, also where the pod's end has another name by now, as in the pods of virtual machines.
fn find_pair(request: &Request, host: &mut Rtnetlink, devices: &[Link]) -> Result<Pair> {
    match host_end::find(request, host) {
        Err(error @ Error::NoVeth(_)) => host_end::search(host, &request.attachment(), devices)?.ok_or(error),
        found => found,
    }
}

/// One direction of an attachment.
struct Checked<'a, 'k> {
    kernel: &'a mut Kernel<'k>,
    host_end: &'a Link,
    /// The largest packets that pass between the pair's ends.
    mtu: u32,
    /// The ifbs that are named after the attachment.
    devices: &'a [Link],
    direction: Direction,
}

impl Checked<'_, '_> {
    fn check(self, settings: &Settings, record: &Record) -> Result<()> {
        match (record.of(self.direction), settings.of(self.direction)) {
            (Some(Recorded { limit: Some(limit), everything }), _) => {
                let subnets = if everything { &Subnets::All } else { &settings.subnets };
                self.compare(subnets, &limit, &Timing::default())
            }
            (Some(Recorded { limit: None, .. }), _) => self.expect_none(),
            (None, Some(limit)) => self.compare(&settings.subnets, &limit, &settings.timing),
            (None, None) => Ok(()),
        }
    }

    /// Returns the filter that packets go through, or else an error that names the first thing that is missing.
    fn shaper(&mut self, subnets: &Subnets) -> Result<Shaper> {
        let Self { direction, host_end, .. } = *self;
        if let Some(shaper) = shaper::find(self.kernel, host_end, direction)? {
            if shaper.at_ifb() && !shaper.link.up {
                return Err(self.not_in_effect(NotInEffect::IfbDown(shaper.link.name)));
            }
            return Ok(shaper);
        }
        if direction == Direction::Ingress && *subnets == Subnets::All {
            return Err(self.not_shaped(host_end));
        }
        let Some(ifb) = self.devices.iter().find(|ifb| ifb::is_for(ifb, direction)) else {
            let sentence = format!("{direction} of {} is not shaped: its ifb device is gone", host_end.name);
            return Err(Error::internal(sentence));
        };
        let targets = redirection::targets(self.kernel, host_end, direction)?;
        if !targets.iter().any(|(to, _)| *to == ifb.index) {
            return Err(self.not_in_effect(NotInEffect::NoRedirect(ifb.name.clone())));
        }
        Err(self.not_shaped(ifb))
    }

    fn not_in_effect(&self, fault: NotInEffect) -> Error {
        Error::internal(format!(
            "the {} limit of {} is not in effect: {fault}",
            self.direction, self.host_end.name
        ))
    }

    fn not_shaped(&mut self, link: &Link) -> Error {
        match self.kernel.host.root_qdisc(link.index) {
            Ok(qdisc) => {
                let found = qdisc.map_or_else(|| "none".to_owned(), |qdisc| qdisc.kind);
                Error::internal(format!(
                    "{} is not shaped: its root qdisc is {found}, ADD had made a token bucket filter (tbf)",
                    link.name
                ))
            }
            Err(error) => error.into(),
        }
    }

    /// Fails when a filter limits the direction, or when packets that are still redirected to an open ifb are dropped.
    fn expect_none(self) -> Result<()> {
        let Self { direction, host_end, .. } = self;
        if let Some(shaper) = shaper::find(self.kernel, host_end, direction)?
            && !shaper.tbf.is_open()
        {
            return Err(Error::internal(format!(
                "{} shapes {direction} to {} bytes per second, but its limit was removed by a live change",
                shaper.link.name, shaper.tbf.rate_bytes_per_sec
            )));
        }
        for (to, _) in redirection::targets(self.kernel, host_end, direction)? {
            match self.kernel.host.link_by_index(to)? {
                Some(link) if !link.up => return Err(self.not_in_effect(NotInEffect::IfbDown(link.name))),
                Some(_) => {}
                None => {
                    return Err(Error::internal(format!(
                        "{direction} of {0} is dropped: the ifb device that its packets are redirected to is gone; `weir limit {0} \
                         --{direction} none` frees them",
                        host_end.name
                    )));
                }
            }
        }
        Ok(())
    }

    /// Fails when no filter has the limit's parameters, or when other traffic is exempt than `subnets` says.
    fn compare(mut self, subnets: &Subnets, limit: &Limit, timing: &Timing) -> Result<()> {
        let shaper = self.shaper(subnets)?;
        self.compare_rules(&shaper, subnets)?;
        if let Some(fault) = effect::fault(self.kernel, self.host_end, self.direction, &shaper)? {
            return Err(self.not_in_effect(fault));
        }
        self.compare_params(&shaper, limit, timing)
    }

    /// Fails when other traffic is exempt from the filter than `subnets` says. Without subnets any redirection that exempts
    /// nothing will do: the reference's rule differs from weir's.
    fn compare_rules(&mut self, shaper: &Shaper, subnets: &Subnets) -> Result<()> {
        let (hook, target) = match &shaper.place {
            Place::Root if *subnets == Subnets::All => return Ok(()),
            // Everything is limited, also the traffic that is to be exempt.
            Place::Root => return self.rules_differ(0, subnets.rules(self.direction, 0).len()),
            Place::Class => (Hook::Root, Rule::CLASS),
            Place::Ifb(Way::Rules) => (hook(self.direction), shaper.link.index),
            Place::Ifb(Way::Chain(chain)) => return self.compare_chain(chain, subnets),
        };
        let shown = self.kernel.host.rules(self.host_end.index, hook)?;
        let want = subnets.rules(self.direction, target);
        let agrees = match subnets {
            Subnets::All => shown.iter().all(|rule| rule.target().is_some()),
            _ => redirection::are_for(&shown, &want),
        };
        if agrees { Ok(()) } else { self.rules_differ(shown.len(), want.len()) }
    }

    fn compare_chain(&mut self, chain: &Forward, subnets: &Subnets) -> Result<()> {
        let Some(nftables) = self.kernel.nftables()? else { return Ok(()) };
        let shown = forwarded::subnets(nftables, chain)?;
        let number = |subnets: &Subnets| match subnets {
            Subnets::All => 0,
            Subnets::Only(subnets) | Subnets::AllBut(subnets) => subnets.len(),
        };
        let want = subnets.clone().normalised();
        match shown {
            // `effect::fault` names the missing rules.
            None => Ok(()),
            Some(shown) if shown == want => Ok(()),
            Some(shown) => self.rules_differ(number(&shown), number(&want)),
        }
    }

    fn rules_differ(&self, shown: usize, want: usize) -> Result<()> {
        Err(Error::internal(format!(
            "{} of {} is shaped differently: its {shown} rules are not the {want} that shapedSubnets or unshapedSubnets ask \
             for",
            self.direction, self.host_end.name
        )))
    }

    /// Compares the filter's parameters. Of the reference plugin's filter only the rate counts: its burst and queue overflow
    /// 32 bits for the bursts that runtimes send, and the pod must outlive the exchange of the executable. It is known by
    /// the link layer, which the reference does not tell the kernel.
    fn compare_params(&self, shaper: &Shaper, limit: &Limit, timing: &Timing) -> Result<()> {
        let (shown, is_weirs) = (shaper.tbf, shaper.qdisc.tells_ethernet);
        let want = shaping::tbf_params(limit, self.host_end.mtu, timing);
        let differs = |what, unit, shown: u64, want: u64| {
            Err(Error::internal(format!(
                "{} is shaped differently: its {what} is {shown} {unit}, ADD would program {want}",
                shaper.link.name
            )))
        };
        if shown.rate_bytes_per_sec != want.rate_bytes_per_sec {
            return differs("rate", "bytes per second", shown.rate_bytes_per_sec, want.rate_bytes_per_sec);
        }
        if !is_weirs {
            return Ok(());
        }
        let packet = shaping::packet_bytes(self.mtu);
        if !shaping::lets_pass(&shown, packet) {
            return Err(Error::internal(format!(
                "no full packet passes {}: at the present MTU of the pod it has {packet} bytes with its Ethernet header, \
                 and the burst is {} bytes; `weir limit {} --{} {}` sets a burst that fits. A plugin that sets the MTU \
                 belongs before bandwidth in the conflist",
                shaper.link.name,
                shown.burst_bytes,
                self.host_end.name,
                self.direction,
                limit.rate_bits_per_sec
            )));
        }
        if want.is_shown_as(&shown) || had_another_mtu(&shown, limit, timing) {
            return Ok(());
        }
        if !want.allows_burst(shown.burst_bytes) {
            return differs("burst", "bytes", shown.burst_bytes.into(), want.burst_bytes.into());
        }
        differs("queue limit", "bytes", shown.limit_bytes.into(), want.limit_bytes.into())
    }
}

/// Whether the filter was made when the link had another MTU, as before `tuning` later in the chain: burst and queue hold
/// a number of full packets.
fn had_another_mtu(shown: &Tbf, limit: &Limit, timing: &Timing) -> bool {
    MTUS.into_iter().any(|mtu| shaping::tbf_params(limit, mtu, timing).is_shown_as(shown))
}
