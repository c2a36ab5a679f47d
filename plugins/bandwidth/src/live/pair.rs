//! The veth pairs of a namespace, and what limits their traffic.

use cni::Attachment;
use linux::{Link, QdiscStatistics, Rtnetlink, Tbf};

use crate::direction::Direction;
use crate::error::Result;
use crate::record;
use crate::shaper::{self, Shaper};

/// A veth pair, whoever made it, with its limits, whoever set them.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The host's end.
    pub host_end: Link,
    /// Whose it is, where it or its ifb says so. The reference plugins leave no such text.
    pub attachment: Option<Attachment>,
    /// The limit of what the pod receives.
    pub ingress: Option<ShapedDirection>,
    /// The limit of what the pod sends.
    pub egress: Option<ShapedDirection>,
}

/// The limit of one direction.
#[derive(Debug, Clone)]
pub struct ShapedDirection {
    /// The interface that has the filter: the host's end or an ifb.
    pub device: String,
    /// The filter.
    pub tbf: Tbf,
    /// What went through it.
    pub statistics: QdiscStatistics,
}

impl From<Shaper> for ShapedDirection {
    fn from(shaper: Shaper) -> Self {
        Self { device: shaper.link.name, tbf: shaper.tbf, statistics: shaper.qdisc.statistics }
    }
}

impl Pair {
    /// Looks for the limits of the pair whose end on the host is `host_end`: a token bucket filter at its root, or
    /// one of an ifb that a filter sends its packets to. None when it has gone meanwhile.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn of(host: &mut Rtnetlink, host_end: Link) -> Result<Option<Self>> {
        let mut of = |direction| shaper::find(host, &host_end, direction);
        let (ingress, egress) = match (of(Direction::Ingress), of(Direction::Egress)) {
            (Ok(ingress), Ok(egress)) => (ingress, egress),
            // Pods come and go meanwhile.
            _ if host.link_by_index(host_end.index)?.is_none() => return Ok(None),
            (ingress, egress) => (ingress?, egress?),
        };
        let devices = [&egress, &ingress].into_iter().flatten().map(|shaper| &shaper.link);
        let attachment = std::iter::once(&host_end).chain(devices).find_map(record::attachment);
        let closed =
            |shaper: Option<Shaper>| shaper.filter(|shaper| !shaper.tbf.is_open()).map(ShapedDirection::from);
        let (ingress, egress) = (closed(ingress), closed(egress));
        Ok(Some(Self { host_end, attachment, ingress, egress }))
    }

    /// Whether either direction has a limit.
    pub fn is_limited(&self) -> bool {
        self.ingress.is_some() || self.egress.is_some()
    }
}

/// Lists the veth pairs in the namespace of `host`, ours and others', by the names of the host's ends. Those of
/// which both ends are in this namespace are there twice.
///
/// # Errors
/// What the kernel says.
pub fn pairs(host: &mut Rtnetlink) -> Result<Vec<Pair>> {
    let mut found = Vec::new();
    for host_end in host.links_of_kind("veth")? {
        found.extend(Pair::of(host, host_end)?);
    }
    found.sort_by(|one, other| one.host_end.name.cmp(&other.host_end.name));
    Ok(found)
}
