//! The veth pairs of a namespace and their limits.

use cni::Attachment;
use limits::Direction;
use linux::{Link, QdiscStatistics, Rtnetlink, Tbf};

use crate::effect::{self, NotInEffect};
use crate::error::Result;
use crate::kernel::Kernel;
use crate::shaper::Shaper;
use crate::{ifb, record};

/// A veth pair and its limits, both of any program.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The host's end.
    pub host_end: Link,
    /// The attachment that it belongs to, where it or its ifb says so. The reference plugins leave no such text.
    pub attachment: Option<Attachment>,
    /// The limit of what the pod receives.
    pub ingress: Option<ShapedDirection>,
    /// The limit of what the pod sends.
    pub egress: Option<ShapedDirection>,
    /// Why the limit of what the pod receives is not in effect, also where only traces of a limit are left.
    pub ingress_fault: Option<NotInEffect>,
    /// The same of what the pod sends.
    pub egress_fault: Option<NotInEffect>,
}

/// The limit of one direction.
#[derive(Debug, Clone)]
pub struct ShapedDirection {
    /// The interface that has the filter: the host's end or an ifb.
    pub device: String,
    /// The filter.
    pub tbf: Tbf,
    /// The packets that went through it.
    pub statistics: QdiscStatistics,
}

impl From<Shaper> for ShapedDirection {
    fn from(shaper: Shaper) -> Self {
        Self { device: shaper.link.name, tbf: shaper.tbf, statistics: shaper.qdisc.statistics }
    }
}

impl Pair {
    /// Finds the limits of the pair with this host's end, wherever they sit, and whether they are in effect. None when the
    /// pair has gone meanwhile.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn of(host: &mut Rtnetlink, host_end: Link) -> Result<Option<Self>> {
        let ifbs = host.links_of_kind("ifb")?;
        Self::among(&mut Kernel::new(host), host_end, &ifbs)
    }

    fn among(kernel: &mut Kernel<'_>, host_end: Link, ifbs: &[Link]) -> Result<Option<Self>> {
        match Self::look(kernel, host_end.clone(), ifbs) {
            Ok(pair) => Ok(Some(pair)),
            // Pods come and go meanwhile.
            Err(_) if kernel.host.link_by_index(host_end.index)?.is_none() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn look(kernel: &mut Kernel<'_>, host_end: Link, ifbs: &[Link]) -> Result<Self> {
        let own: Vec<Link> = ifbs.iter().filter(|ifb| is_of(ifb, &host_end)).cloned().collect();
        let record = record::read(&host_end, &own.iter().collect::<Vec<_>>());
        let mut look = |direction| effect::look(kernel, &host_end, direction, &own, record.of(direction));
        let (ingress, ingress_fault) = look(Direction::Ingress)?;
        let (egress, egress_fault) = look(Direction::Egress)?;
        let devices = [&egress, &ingress].into_iter().flatten().map(|shaper| &shaper.link).chain(&own);
        let attachment = std::iter::once(&host_end).chain(devices).find_map(attachment::named);
        let (ingress, egress) = (ingress.map(ShapedDirection::from), egress.map(ShapedDirection::from));
        Ok(Self { host_end, attachment, ingress, egress, ingress_fault, egress_fault })
    }

    /// Returns the directions that have a limit, in effect or not: the limit, or none when only traces of it are left, and
    /// why it is not in effect.
    pub fn limits(
        &self,
    ) -> impl Iterator<Item = (Direction, Option<&ShapedDirection>, Option<&NotInEffect>)> {
        let directions = [
            (Direction::Ingress, self.ingress.as_ref(), self.ingress_fault.as_ref()),
            (Direction::Egress, self.egress.as_ref(), self.egress_fault.as_ref()),
        ];
        directions.into_iter().filter(|(_, limit, fault)| limit.is_some() || fault.is_some())
    }

    /// Whether either direction has a limit, in effect or not.
    pub fn is_limited(&self) -> bool {
        self.limits().next().is_some()
    }

    /// Whether all limits are in effect.
    pub fn is_in_effect(&self) -> bool {
        self.ingress_fault.is_none() && self.egress_fault.is_none()
    }
}

/// Whether an ifb is for packets of this pair: both aliases name the same attachment, or the ifb's names the pair.
fn is_of(ifb: &Link, host_end: &Link) -> bool {
    match (attachment::named(ifb), attachment::named(host_end)) {
        (Some(one), Some(other)) => one.is_same(&other),
        (_, None) => ifb::host_end(ifb) == Some(&host_end.name),
        (None, Some(_)) => false,
    }
}

/// Lists the veth pairs in the namespace of `host`, of any program, by the names of the host's ends. A pair with both ends
/// in this namespace is listed twice.
///
/// # Errors
/// The kernel's refusal.
pub fn pairs(host: &mut Rtnetlink) -> Result<Vec<Pair>> {
    let mut found = Vec::new();
    let (veths, ifbs) = (host.links_of_kind("veth")?, host.links_of_kind("ifb")?);
    let mut kernel = Kernel::new(host);
    for host_end in veths {
        found.extend(Pair::among(&mut kernel, host_end, &ifbs)?);
    }
    found.sort_by(|one, other| one.host_end.name.cmp(&other.host_end.name));
    Ok(found)
}
