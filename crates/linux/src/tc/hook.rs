//! A link's hooks: where its packets meet filters.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::TcHandle;
use nix::errno::Errno;

use super::request;
use crate::error::Result;
use crate::feature::Feature;
use crate::rtnetlink::Rtnetlink;

/// Where a packet meets the filters of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// When it arrives there. An `ingress` qdisc has this hook and a `clsact` one.
    Ingress,
    /// Before it is queued there to be sent. Only a `clsact` qdisc has this hook.
    Egress,
    /// In the root qdisc, when that sorts packets into classes: see [`Rtnetlink::set_root_classes`].
    Root,
}

/// The qdisc that has both hooks.
pub(super) const CLSACT: &str = "clsact";
/// Handle of an ingress or clsact qdisc.
const HANDLE: TcHandle = TcHandle { major: 0xFFFF, minor: 0 };

impl Hook {
    pub(super) fn parent(self) -> TcHandle {
        match self {
            Self::Ingress => TcHandle { major: 0xFFFF, minor: TcHandle::MIN_INGRESS },
            Self::Egress => TcHandle { major: 0xFFFF, minor: TcHandle::MIN_EGRESS },
            Self::Root => super::tbf::HANDLE,
        }
    }
}

impl std::fmt::Display for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
            Self::Root => "root",
        })
    }
}

impl Rtnetlink {
    /// Which qdisc gives `link` its hooks: `clsact`, `ingress`, or none.
    ///
    /// # Errors
    /// The kernel's refusal; `ENODEV` when there is no such link.
    pub(super) fn hook_kind(&mut self, link: u32) -> Result<Option<String>> {
        Ok(self.qdisc_at(link, TcHandle::CLSACT)?.map(|qdisc| qdisc.kind))
    }

    /// Whether `link` has this hook.
    pub(super) fn has_hook(&mut self, link: u32, hook: Hook) -> Result<bool> {
        if hook == Hook::Root {
            return Ok(true);
        }
        Ok(match self.hook_kind(link)?.as_deref() {
            Some(CLSACT) => true,
            Some(_) => hook == Hook::Ingress,
            None => false,
        })
    }

    /// Makes a `clsact` qdisc at `link`, unless one has its place, or an `ingress` one. Returns whether it was made.
    /// As `tc qdisc add dev NAME clsact`.
    pub(super) fn ensure_hook(&mut self, link: u32) -> Result<bool> {
        let mut message = request(link, TcHandle::CLSACT, Some(CLSACT));
        message.header.handle = HANDLE;
        let request = RouteNetlinkMessage::NewQueueDiscipline(message);
        match self.attempt(request, NLM_F_CREATE | NLM_F_EXCL, |_| {}) {
            Ok(()) => Ok(true),
            Err(failure) if failure.errno() == Some(Errno::EEXIST) => Ok(false),
            Err(failure) => Err(self
                .failed(failure, link, |name| format!("make a clsact qdisc at {name}"))
                .or_missing(Feature::Ingress, &[Errno::ENOENT])),
        }
    }

    /// Removes the `clsact` qdisc of a link, unless a filter hangs there. For whoever made it and failed then:
    /// another tool may have found it in the meantime. As `tc qdisc delete dev NAME clsact`.
    ///
    /// The kernel removes a qdisc with its filters and cannot be asked to look first; so the look comes
    /// immediately before.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn delete_unused_hook(&mut self, link: u32) -> Result<()> {
        for hook in [Hook::Ingress, Hook::Egress] {
            if self.has_filters(link, hook)? {
                return Ok(());
            }
        }
        let message = request(link, TcHandle::CLSACT, Some(CLSACT));
        match self.attempt(RouteNetlinkMessage::DelQueueDiscipline(message), 0, |_| {}) {
            Err(failure)
                if matches!(failure.errno(), Some(Errno::ENOENT | Errno::EINVAL | Errno::ENODEV)) =>
            {
                Ok(())
            }
            outcome => outcome.map_err(|failure| {
                self.failed(failure, link, |name| format!("delete the clsact qdisc of {name}"))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tc::tests::{in_a_namespace_of_its_own, tc};

    #[test]
    fn a_hook_is_made_once_and_goes_only_when_nobody_uses_it() {
        let (mut rtnetlink, veth) = in_a_namespace_of_its_own();
        assert_eq!(rtnetlink.hook_kind(veth.index).unwrap(), None);
        assert!(rtnetlink.ensure_hook(veth.index).unwrap());
        assert!(!rtnetlink.ensure_hook(veth.index).unwrap());
        for hook in ["ingress", "egress"] {
            tc(&format!("filter add dev host0 {hook} protocol ip pref 5 u32 match u32 0 0 flowid 1:2"));
            rtnetlink.delete_unused_hook(veth.index).unwrap();
            assert!(tc(&format!("filter show dev host0 {hook}")).contains("pref 5 u32"));
            tc(&format!("filter del dev host0 {hook} pref 5"));
        }
        for _ in 0..2 {
            rtnetlink.delete_unused_hook(veth.index).unwrap();
            assert_eq!(rtnetlink.hook_kind(veth.index).unwrap(), None);
        }
    }

    #[test]
    fn an_ingress_qdisc_is_told_from_clsact() {
        let (mut rtnetlink, veth) = in_a_namespace_of_its_own();
        tc("qdisc add dev host0 ingress");
        assert_eq!(rtnetlink.hook_kind(veth.index).unwrap().as_deref(), Some("ingress"));
        assert!(!rtnetlink.ensure_hook(veth.index).unwrap());
        assert!(rtnetlink.has_hook(veth.index, Hook::Ingress).unwrap());
        assert!(!rtnetlink.has_hook(veth.index, Hook::Egress).unwrap());
    }
}
