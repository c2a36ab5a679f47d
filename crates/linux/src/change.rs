//! Changes that need no answer of their own: several go to the kernel in one datagram.
//!
//! Each request takes the kernel's RTNL lock. A plugin that waits for every acknowledgement queues for that lock each
//! time, behind every other ADD on the node; the requests of one datagram follow each other.

use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;

use crate::error::{Error, Result};
use crate::feature::Feature;
use crate::netlink::Failure;
use crate::rtnetlink::Rtnetlink;

/// Changes in one datagram: if all of them are refused, the socket still has room for the refusals.
const TOGETHER: usize = 64;

/// A request that changes something at one link.
pub struct Change {
    pub(crate) request: RouteNetlinkMessage,
    pub(crate) flags: u16,
    link: u32,
    operation: Box<dyn Fn(&str) -> String>,
    ignored: &'static [Errno],
    missing: Option<(Feature, &'static [Errno])>,
}

impl Change {
    /// Returns a change of `link`; `operation` gets the link's name and completes "cannot …".
    pub fn new(
        request: RouteNetlinkMessage,
        flags: u16,
        link: u32,
        operation: impl Fn(&str) -> String + 'static,
    ) -> Self {
        Self { request, flags, link, operation: Box::new(operation), ignored: &[], missing: None }
    }

    /// Ignores refusals that mean that nothing is left to do.
    pub fn ignoring(self, errnos: &'static [Errno]) -> Self {
        Self { ignored: errnos, ..self }
    }

    /// Names the feature that the kernel lacks when it refuses with one of `errnos`.
    pub fn needing(self, feature: Feature, errnos: &'static [Errno]) -> Self {
        Self { missing: Some((feature, errnos)), ..self }
    }

    pub(crate) fn error(&self, host: &mut Rtnetlink, failure: Failure) -> Error {
        let error = host.failed(failure, self.link, &self.operation);
        match self.missing {
            Some((feature, errnos)) => error.or_missing(feature, errnos),
            None => error,
        }
    }
}

impl Rtnetlink {
    /// Applies all changes in order. A refused change does not stop those after it in the same datagram.
    ///
    /// # Errors
    /// The first refusal.
    pub fn apply(&mut self, changes: &[Change]) -> Result<()> {
        for changes in changes.chunks(TOGETHER) {
            let mut refused = None;
            let requests = changes.iter().map(|change| (change.request.clone(), change.flags));
            let outcome = self.attempt_all(requests, |index, refusal| {
                let change = changes.get(index).filter(|change| !change.ignored.contains(&refusal.errno));
                refused = refused.take().or(change.map(|change| (change, Failure::Refused(refusal))));
            });
            // Without an answer, the refused one is unknown.
            let lost = outcome.err().map(Failure::Io).and_then(|failure| Some((changes.last()?, failure)));
            if let Some((change, failure)) = refused.or(lost) {
                return Err(change.error(self, failure));
            }
        }
        Ok(())
    }
}
