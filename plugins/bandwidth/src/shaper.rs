//! Where the filter of a direction sits: at the root of the host's end, in a class of its root, or at the root of an
//! ifb that packets are redirected to.

use limits::Direction;
use linux::{Link, Qdisc, Rtnetlink, Tbf};

use crate::error::Result;
use crate::ifb;
use crate::kernel::Kernel;
use crate::redirection::{self, Way};

/// A token bucket filter that packets of one direction go through.
#[derive(Debug, Clone)]
pub(crate) struct Shaper {
    /// The link that has it.
    pub link: Link,
    /// The qdisc that it is.
    pub qdisc: Qdisc,
    /// Its parameters.
    pub tbf: Tbf,
    /// Where it sits, and how packets come there.
    pub place: Place,
}

/// Where a filter sits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// At the root of the host's end: everything passes it.
    Root,
    /// In a class at the root of the host's end, past which exempt packets go.
    Class,
    /// At the root of an ifb.
    Ifb(Way),
}

impl Shaper {
    fn of(link: Link, qdisc: Option<Qdisc>, place: Place) -> Option<Self> {
        let qdisc = qdisc?;
        Some(Self { tbf: qdisc.tbf?, link, qdisc, place })
    }

    /// Returns the filter of an ifb, however packets come there, unless it is open.
    pub fn at_ifb_of(host: &mut Rtnetlink, ifb: Link) -> Result<Option<Self>> {
        let qdisc = host.root_qdisc(ifb.index)?;
        let shaper = Self::of(ifb, qdisc, Place::Ifb(Way::Rules));
        Ok(shaper.filter(|shaper| !shaper.tbf.is_open()))
    }

    /// Whether the link is an ifb, and not the host's end itself.
    pub fn at_ifb(&self) -> bool {
        matches!(self.place, Place::Ifb(_))
    }

    /// Returns the qdisc as the kernel shows it now.
    pub fn now(&self, host: &mut Rtnetlink) -> Result<Option<Qdisc>> {
        Ok(match self.place {
            Place::Class => host.class_qdisc(self.link.index)?,
            Place::Root | Place::Ifb(_) => host.root_qdisc(self.link.index)?,
        })
    }
}

/// Finds the filter of a direction, made by any program; an open one counts only when there is no other.
pub(crate) fn find(kernel: &mut Kernel<'_>, host_end: &Link, direction: Direction) -> Result<Option<Shaper>> {
    let at_host_end = match direction {
        Direction::Ingress => at_host_end(kernel.host, host_end)?,
        Direction::Egress => None,
    };
    if at_host_end.as_ref().is_some_and(|shaper| !shaper.tbf.is_open()) {
        return Ok(at_host_end);
    }
    if let Some((to, way)) = redirection::target_of_chain(kernel, host_end, direction)?
        && let Some(shaper) = at_ifb(kernel.host, to, way)?
    {
        return Ok(Some(shaper));
    }
    for (to, way) in redirection::targets_of_rules(kernel, host_end, direction)? {
        if let Some(shaper) = at_ifb(kernel.host, to, way)? {
            return Ok(Some(shaper));
        }
    }
    Ok(at_host_end)
}

fn at_ifb(host: &mut Rtnetlink, index: u32, way: Way) -> Result<Option<Shaper>> {
    let Some(link) = host.link_by_index(index)?.filter(|link| link.is(ifb::KIND)) else { return Ok(None) };
    let qdisc = host.root_qdisc(link.index)?;
    Ok(Shaper::of(link, qdisc, Place::Ifb(way)))
}

fn at_host_end(host: &mut Rtnetlink, host_end: &Link) -> Result<Option<Shaper>> {
    let (qdisc, place) = match Root::of(host, host_end)? {
        Root::Filter(qdisc) => (qdisc, Place::Root),
        Root::Classes(qdisc) => (qdisc, Place::Class),
        Root::Free | Root::Other => return Ok(None),
    };
    Ok(Shaper::of(host_end.clone(), Some(qdisc), place))
}

/// The root qdisc of a link.
#[derive(Clone)]
pub(crate) enum Root {
    /// The kernel's own.
    Free,
    /// A token bucket filter, made by any program.
    Filter(Qdisc),
    /// Classes that weir made, with the filter in the one for limited packets.
    Classes(Qdisc),
    /// Another one.
    Other,
}

impl Root {
    /// Returns the root qdisc of a link. The kernel's own has no handle.
    pub fn of(host: &mut Rtnetlink, link: &Link) -> Result<Self> {
        let Some(qdisc) = host.root_qdisc(link.index)?.filter(|qdisc| qdisc.handle != 0) else {
            return Ok(Self::Free);
        };
        if qdisc.tbf.is_some() {
            return Ok(Self::Filter(qdisc));
        }
        Ok(match host.class_qdisc(link.index)? {
            Some(leaf) => Self::Classes(leaf),
            None => Self::Other,
        })
    }
}
