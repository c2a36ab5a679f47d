//! Changes that need no answer of their own: several go to the kernel in one datagram.
//!
//! Each request takes the kernel's RTNL lock by itself. A plugin that waits for every acknowledgement queues for
//! that lock anew each time, behind all the others that attach pods at this moment; the requests of one datagram
//! follow each other.

use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;

use crate::error::{Error, Feature, Result};
use crate::netlink::Failure;
use crate::rtnetlink::Rtnetlink;

/// So many go in one datagram: if all of them are refused, the socket still has room for what the kernel says.
const TOGETHER: usize = 64;

/// A request that changes something at one link.
pub struct Change {
    pub(crate) request: RouteNetlinkMessage,
    pub(crate) flags: u16,
    /// Index of the link.
    pub(crate) link: u32,
    /// Gets the link's name and completes "cannot …".
    pub(crate) operation: Box<dyn Fn(&str) -> String>,
    /// Refusals that say that everything is as wanted already.
    pub(crate) fine: &'static [Errno],
    /// What the kernel lacks when it refuses with one of these.
    pub(crate) missing: Option<(Feature, &'static [Errno])>,
}

impl Change {
    pub(crate) fn error(&self, host: &mut Rtnetlink, failure: Failure) -> Error {
        let error = host.failed(failure, self.link, &self.operation);
        match self.missing {
            Some((feature, errnos)) => error.or_missing(feature, errnos),
            None => error,
        }
    }
}

impl Rtnetlink {
    /// Makes all changes, in their order. One that is refused does not keep those after it, as far as they are in
    /// one datagram.
    ///
    /// # Errors
    /// The first refusal.
    pub fn make(&mut self, changes: &[Change]) -> Result<()> {
        changes.chunks(TOGETHER).try_for_each(|changes| self.make_together(changes))
    }

    fn make_together(&mut self, changes: &[Change]) -> Result<()> {
        let Some(last) = changes.len().checked_sub(1) else { return Ok(()) };
        let mut refused = None;
        let requests = changes.iter().map(|change| (change.request.clone(), change.flags));
        let outcome = self.attempt_all(requests, |index, refusal| {
            let is_fine = changes.get(index).is_some_and(|change| change.fine.contains(&refusal.errno));
            if refused.is_none() && !is_fine {
                refused = Some((index, Failure::Refused(refusal)));
            }
        });
        // Without an answer nobody knows which of them it was.
        let refused = refused.or(outcome.err().map(|source| (last, Failure::Io(source))));
        match refused.and_then(|(index, failure)| Some((changes.get(index)?, failure))) {
            Some((change, failure)) => Err(change.error(self, failure)),
            None => Ok(()),
        }
    }
}
