//! Waiting for work that the kernel does in the background.

use std::time::{Duration, Instant};

use netlink_sys::protocols::NETLINK_ROUTE;

use crate::error::{Error, Result};
use crate::namespace::Namespace;
use crate::netlink::Socket;
use crate::rtnetlink::Rtnetlink;

impl Rtnetlink {
    /// Waits until `pending` returns `None`, for at most `patience`; returns its last value when the time is up. It
    /// is called at once, and again after each event of `group` in `namespace` (the thread's when absent), which must
    /// be the socket's.
    ///
    /// Most often nothing is pending at once, so the subscription is made only if something is. `pending` is called
    /// again between subscription and the first wait: no event is missed.
    pub(crate) fn wait_while<T>(
        &mut self,
        namespace: Option<&Namespace>,
        group: u32,
        patience: Duration,
        mut pending: impl FnMut(&mut Self) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        if pending(self)?.is_none() {
            return Ok(None);
        }
        let open = || {
            let mut events = Socket::open(NETLINK_ROUTE)?;
            events.subscribe(group)?;
            Ok(events)
        };
        let mut events = match namespace {
            Some(namespace) => namespace.enter(open)?,
            None => open()?,
        };
        let deadline = Instant::now() + patience;
        loop {
            let Some(found) = pending(self)? else { return Ok(None) };
            let event = events.wait(deadline).map_err(|source| Error::Netlink {
                operation: format!("wait for netlink group {group}"),
                source,
            })?;
            if !event {
                return Ok(Some(found));
            }
        }
    }
}
