//! Waiting for events, on one socket or on several descriptors.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::libc::ENOBUFS;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Socket;
use crate::error::{Error, Result};

impl Socket {
    /// Joins a multicast group, so that [`Socket::wait`] receives its events.
    pub fn subscribe(&mut self, group: u32) -> Result<()> {
        self.raw.add_membership(group).map_err(|source| Error::Netlink {
            operation: format!("subscribe to netlink group {group}"),
            source,
        })
    }

    /// Reads one datagram of the subscribed groups, and waits for it until `deadline`.
    ///
    /// Returns `false` when the deadline passed without an event. Dropped events (`ENOBUFS`) count as an event: the
    /// caller looks at the objects again.
    pub(crate) fn wait(&mut self, deadline: Instant) -> io::Result<bool> {
        if !self.is_readable_until(deadline)? {
            return Ok(false);
        }
        self.receive.clear();
        match self.raw.recv(&mut self.receive, 0) {
            Err(error) if error.raw_os_error() != Some(ENOBUFS) => Err(error),
            _ => Ok(true),
        }
    }

    /// Waits until there is a datagram to read; returns `false` when `deadline` passed before.
    pub(super) fn is_readable_until(&self, deadline: Instant) -> io::Result<bool> {
        Ok(readable_until(deadline, [self.as_fd()])?.is_some())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor belongs to `self.raw`, which outlives this borrow.
        #[allow(unsafe_code)]
        unsafe {
            BorrowedFd::borrow_raw(self.raw.as_raw_fd())
        }
    }
}

/// Waits until one of the descriptors can be read, and returns the place of the first that can; none when `deadline`
/// passed before (poll(2)).
pub(crate) fn readable_until<const COUNT: usize>(
    deadline: Instant,
    descriptors: [BorrowedFd<'_>; COUNT],
) -> io::Result<Option<usize>> {
    let mut descriptors = descriptors.map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN));
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match poll(&mut descriptors, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Err(Errno::EINTR) => {}
            ready => {
                ready?;
                return Ok(descriptors.iter().position(|descriptor| descriptor.any() == Some(true)));
            }
        }
    }
}
