//! Links that are being made: recognised from their first moment, by the group that they are created in.
//!
//! A link gets its alias in a second request. One whose maker was killed before that says nothing of itself. So links
//! are created in a group that is the port ID of the netlink socket that creates them, and leave it when everything
//! is done. The kernel knows whether a socket still has that port ID: it is gone with its process, however that ended.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket as RawSocket, SocketAddr};

use crate::change::Change;
use crate::error::{Error, Result};
use crate::link::Link;
use crate::rtnetlink::Rtnetlink;

/// The first byte of these port IDs and groups. Process IDs, which are the port IDs that the kernel gives by itself,
/// are below 2^22, its other port IDs have the highest bit, and administrators number groups from 0, in
/// `/etc/iproute2/group`.
const SIGNATURE: u32 = 0x57 << 24;
const SIGNATURE_MASK: u32 = 0xff << 24;
/// Another socket has a random port ID once in 2^24 tries.
const ATTEMPTS: u32 = 8;

/// Gives a socket a port ID that no other one of its namespace has, and returns it.
pub(crate) fn bind(socket: &mut RawSocket) -> io::Result<u32> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let [a, b, c, ..] = RandomState::new().build_hasher().finish().to_ne_bytes();
        let port = SIGNATURE | u32::from_ne_bytes([a, b, c, 0]);
        match socket.bind(&SocketAddr::new(port, 0)) {
            Ok(()) => return Ok(port),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts < ATTEMPTS => {}
            Err(error) => return Err(error),
        }
    }
}

impl Link {
    /// Whether the link is in the group of those that are being made. Its maker may be gone:
    /// [`Rtnetlink::is_being_made`] tells.
    pub fn is_unfinished(&self) -> bool {
        self.group & SIGNATURE_MASK == SIGNATURE
    }
}

impl Change {
    /// Takes a link out of the group of those that are being made. As `ip link set dev NAME group default`.
    pub fn finish(link: u32) -> Self {
        Self::set_group(link, 0)
    }
}

impl Rtnetlink {
    /// Whether it is this very socket that `link` was created by, and it is not finished. So a creation of which the
    /// kernel's answer was lost can be told from a link that was there.
    pub fn is_maker_of(&self, link: &Link) -> bool {
        link.group == self.port
    }

    /// Whether a process that was killed left `link`, a link of this thread's namespace, unfinished.
    ///
    /// # Errors
    /// As [`Rtnetlink::is_being_made`], and the kernel's refusal.
    pub fn is_abandoned(&mut self, link: &Link) -> Result<bool> {
        if !link.is_unfinished() || self.is_being_made(link)? {
            return Ok(false);
        }
        // The maker may have finished it, and ended, since `link` was looked at.
        Ok(self.link_by_index(link.index)?.is_some_and(|now| now.group == link.group))
    }

    /// Whether the process that makes `link`, a link of this thread's namespace, is still at work; false for a link
    /// that is finished, and for one whose maker ended before that.
    ///
    /// # Errors
    /// [`Error::Netlink`] when the kernel gives no socket to ask with.
    pub fn is_being_made(&self, link: &Link) -> Result<bool> {
        if !link.is_unfinished() {
            return Ok(false);
        }
        if self.is_maker_of(link) {
            return Ok(true);
        }
        let bound =
            RawSocket::new(NETLINK_ROUTE).and_then(|mut other| other.bind(&SocketAddr::new(link.group, 0)));
        match bound {
            Ok(()) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(true),
            Err(source) => {
                let operation = format!("find out whether {} is still being made", link.name);
                Err(Error::Netlink { operation, source })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ifb, new_namespace};

    #[test]
    fn a_link_is_being_made_as_long_as_its_makers_socket_is_open() {
        let mut maker = new_namespace();
        let mut other = Rtnetlink::open().unwrap();
        let index = ifb(&mut maker, "bwp0").index;
        let seen = other.link_by_index(index).unwrap().unwrap();
        assert!(seen.is_unfinished());
        assert!(maker.is_maker_of(&seen) && !other.is_maker_of(&seen));
        assert!(maker.is_being_made(&seen).unwrap() && other.is_being_made(&seen).unwrap());
        assert!(other.is_being_made(&seen).unwrap(), "to ask changes nothing");
        assert!(!other.is_abandoned(&seen).unwrap());
        drop(maker);
        assert!(!other.is_being_made(&seen).unwrap() && other.is_abandoned(&seen).unwrap());

        other.apply(&[Change::finish(index)]).unwrap();
        assert!(!other.is_abandoned(&seen).unwrap(), "it was finished since it was seen");
        let seen = other.link_by_index(index).unwrap().unwrap();
        assert!(!seen.is_unfinished() && !other.is_being_made(&seen).unwrap());
        assert_eq!(seen.group, 0);
    }
}
