//! Waiting for what the kernel does by itself: it says so by an event, and is asked how things are.

use std::time::{Duration, Instant};

use netlink_sys::protocols::NETLINK_ROUTE;

use crate::error::Result;
use crate::namespace::Namespace;
use crate::netlink::Socket;
use crate::rtnetlink::Rtnetlink;

impl Rtnetlink {
    /// Waits until `pending` finds nothing any more, for at most `patience`; what it found last is returned when the
    /// time is up. It is asked at once, and again after each event of `group` in the socket's `namespace`: none is that
    /// of this thread.
    ///
    /// Most often nothing is pending at once. So the events are subscribed only then, and `pending` is asked after that
    /// before the first one is waited for: no event is missed.
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
            let event = events.wait(deadline, |_| {});
            if !event.map_err(|failure| failure.during(format_args!("wait for netlink group {group}")))? {
                return Ok(Some(found));
            }
        }
    }
}
