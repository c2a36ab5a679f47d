//! Every shaped attachment of a namespace.

use cni::Attachment;
use linux::{Link, QdiscStatistics, Rtnetlink, Tbf};

use crate::direction::Direction;
use crate::error::Result;
use crate::record;
use crate::shaper::{self, Shaper};

/// A veth pair whose traffic is limited, whoever made it and whoever limits it.
#[derive(Debug, Clone)]
pub struct Shaped {
    /// The host's end.
    pub host_end: Link,
    /// Whose it is, where it or its ifb says so. The reference plugins leave no such text.
    pub attachment: Option<Attachment>,
    /// What the pod receives.
    pub ingress: Option<ShapedDirection>,
    /// What the pod sends.
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

/// Lists what is shaped in the namespace of `host`, ours and the reference's: each veth with a token bucket
/// filter at its root, or whose packets a filter sends to an ifb that has one. By the names of the host's ends.
///
/// # Errors
/// What the kernel says.
pub fn shaped(host: &mut Rtnetlink) -> Result<Vec<Shaped>> {
    let mut found = Vec::new();
    for host_end in host.links_of_kind("veth")? {
        let mut of = |direction| shaper::find(host, &host_end, direction);
        let (ingress, egress) = match (of(Direction::Ingress), of(Direction::Egress)) {
            (Ok(ingress), Ok(egress)) => (ingress, egress),
            // Pods come and go meanwhile.
            _ if host.link_by_index(host_end.index)?.is_none() => continue,
            (ingress, egress) => (ingress?, egress?),
        };
        let devices = [&egress, &ingress].into_iter().flatten().map(|shaper| &shaper.link);
        let attachment = std::iter::once(&host_end).chain(devices).find_map(record::attachment);
        let closed =
            |shaper: Option<Shaper>| shaper.filter(|shaper| !shaper.tbf.is_open()).map(ShapedDirection::from);
        let (ingress, egress) = (closed(ingress), closed(egress));
        if ingress.is_some() || egress.is_some() {
            found.push(Shaped { host_end, attachment, ingress, egress });
        }
    }
    found.sort_by(|one, other| one.host_end.name.cmp(&other.host_end.name));
    Ok(found)
}
