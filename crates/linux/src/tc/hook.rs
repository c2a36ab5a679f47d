//! A link's hooks: where its packets meet filters.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::TcHandle;
use nix::errno::Errno;

use super::request;
use crate::change::Change;
use crate::error::Result;
use crate::feature::Feature;
use crate::rtnetlink::Rtnetlink;

/// A place where packets of a link meet filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// On arrival. Both `ingress` and `clsact` qdiscs have this hook.
    Ingress,
    /// Before it is queued for sending. Only a `clsact` qdisc has this hook.
    Egress,
    /// In a root qdisc with classes: see [`Rtnetlink::set_root_classes`].
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
    /// Returns the qdisc that provides `link`'s hooks: `clsact`, `ingress`, or none.
    ///
    /// # Errors
    /// The kernel's refusal; `ENODEV` when there is no such link.
    pub(super) fn hook_kind(&mut self, link: u32) -> Result<Option<String>> {
        Ok(self.qdisc_at(link, TcHandle::CLSACT)?.map(|qdisc| qdisc.kind))
    }

    /// Returns whether `link` has this hook.
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

    /// Adds a `clsact` qdisc to `link`, unless one is there, or an `ingress` one. Returns whether it was added. As
    /// `tc qdisc add dev NAME clsact`.
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

    /// Deletes the `clsact` qdisc of a link, unless it has filters: another tool may use it by now. Undoes
    /// [`Rtnetlink::set_rules`]. As `tc qdisc delete dev NAME clsact`.
    ///
    /// The kernel deletes a qdisc together with its filters and cannot check them first, so the check comes
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
        let deletion = Change::new(RouteNetlinkMessage::DelQueueDiscipline(message), 0, link, |name| {
            format!("delete the clsact qdisc of {name}")
        });
        self.apply(&[deletion.ignoring(&[Errno::ENOENT, Errno::EINVAL, Errno::ENODEV])])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tc::tests::tc;
    use crate::testing::namespace_with_veth;

    #[test]
    fn a_hook_is_made_once_and_deleted_only_without_filters() {
        let (mut rtnetlink, veth) = namespace_with_veth();
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
        let (mut rtnetlink, veth) = namespace_with_veth();
        tc("qdisc add dev host0 ingress");
        assert_eq!(rtnetlink.hook_kind(veth.index).unwrap().as_deref(), Some("ingress"));
        assert!(!rtnetlink.ensure_hook(veth.index).unwrap());
        assert!(rtnetlink.has_hook(veth.index, Hook::Ingress).unwrap());
        assert!(!rtnetlink.has_hook(veth.index, Hook::Egress).unwrap());
    }
}
