//! Waiting for changes of links, a deadline and signals at once.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use netlink_sys::protocols::NETLINK_ROUTE;
use nix::libc::RTNLGRP_LINK;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::error::{Error, Result};
use crate::netlink::{Socket, readable_until};

/// Several events of one change come within this time.
const SETTLE: Duration = Duration::from_millis(50);

/// A subscription to the changes of links in the current namespace, and to signals that end a process. As `ip monitor
/// link` (rtnetlink(7), signalfd(2)).
pub struct LinkEvents {
    events: Socket,
    signals: SignalFd,
}

/// Why [`LinkEvents::wait`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wakeup {
    /// The deadline passed.
    Deadline,
    /// A link was added, changed or deleted.
    LinkChange,
    /// `SIGINT` or `SIGTERM` arrived.
    Signal,
}

impl LinkEvents {
    /// Subscribes. From now on `SIGINT` and `SIGTERM` do not end this process: they are blocked in this thread, which
    /// must be its only one.
    ///
    /// # Errors
    /// [`Error::Netlink`] without a socket; when signals cannot be received.
    pub fn subscribe() -> Result<Self> {
        let mut events = Socket::open(NETLINK_ROUTE)?;
        events.subscribe(RTNLGRP_LINK)?;
        let mut set = SigSet::empty();
        set.extend([Signal::SIGINT, Signal::SIGTERM]);
        let signals = set.thread_block().and_then(|()| SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC));
        let refused =
            |errno: nix::errno::Errno| Error::Other(format!("cannot receive signals: {}", errno.desc()));
        Ok(Self { events, signals: signals.map_err(refused)? })
    }

    /// Waits until `deadline`, or until links change or a signal comes. A change is reported 50 ms after its first
    /// event.
    ///
    /// # Errors
    /// [`Error::Netlink`].
    pub fn wait(&mut self, deadline: Instant) -> Result<Wakeup> {
        let (mut wakeup, mut until) = (Wakeup::Deadline, deadline);
        let failed = |source| Error::Netlink { operation: "wait for changes of links".to_owned(), source };
        loop {
            let ready = readable_until(until, [self.signals.as_fd(), self.events.as_fd()]);
            match ready.map_err(failed)? {
                None => return Ok(wakeup),
                Some(0) => return Ok(Wakeup::Signal),
                Some(_) => self.events.wait(until).map_err(failed)?,
            };
            if wakeup == Wakeup::Deadline {
                (wakeup, until) = (Wakeup::LinkChange, Instant::now() + SETTLE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::raise;

    use super::*;
    use crate::Change;
    use crate::testing::new_namespace;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_wait_ends_with_its_time_with_a_change_of_links_and_with_a_signal() {
        let mut rtnetlink = new_namespace();
        let mut events = LinkEvents::subscribe().unwrap();
        assert_eq!(events.wait(Instant::now()).unwrap(), Wakeup::Deadline);
        rtnetlink.apply(&[Change::set_up(1)]).unwrap();
        assert_eq!(events.wait(Instant::now() + LONG).unwrap(), Wakeup::LinkChange);
        assert_eq!(events.wait(Instant::now()).unwrap(), Wakeup::Deadline, "the events were read");
        raise(Signal::SIGTERM).unwrap();
        assert_eq!(events.wait(Instant::now() + LONG).unwrap(), Wakeup::Signal);
    }
}
