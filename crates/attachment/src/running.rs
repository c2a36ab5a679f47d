//! Running pods, which GC spares: lists of valid attachments lack some in practice (several runtimes with one network,
//! a runtime that lost its cache).

use std::collections::HashSet;

use cni::Request;
use linux::{Link, NamespaceNumber, Rtnetlink};

use crate::config::gc_removes_running;

/// The pods that GC spares unless the config has `gcRemovesRunning`.
pub struct RunningPods {
    are_spared: bool,
    /// The namespaces in which processes live, once looked up; none when the lookup failed.
    namespaces: Option<Option<HashSet<NamespaceNumber>>>,
}

impl RunningPods {
    /// Returns them for a GC. Processes are looked up when the first pod is asked for.
    pub fn of(request: &Request) -> Self {
        Self { are_spared: !gc_removes_running(request), namespaces: None }
    }

    /// Returns whether GC spares the pod of `host_end`: processes live in the namespace of the peer, or that cannot be
    /// found out. The error of the lookup is added once.
    pub fn spare<E: From<linux::Error>>(
        &mut self,
        host_end: &Link,
        host: &mut Rtnetlink,
        errors: &mut Vec<E>,
    ) -> bool {
        self.are_spared
            && self
                .namespaces
                .get_or_insert_with(|| {
                    host.inhabited_namespaces().map_err(|error| errors.push(error.into())).ok()
                })
                .as_ref()
                .is_none_or(|namespaces| host_end.has_peer_in(namespaces))
    }
}
