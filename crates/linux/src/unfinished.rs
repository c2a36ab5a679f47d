//! Unfinished links: recognised from creation on by their group.
//!
//! A link gets its alias in a second request, so a link whose creator was killed before that has none. Links are
//! therefore created in a group that is the port ID of the netlink socket that creates them, and leave it when they
//! are complete. The kernel knows whether a socket still has that port ID: the socket ends with its process, however
//! that ends.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket as RawSocket, SocketAddr};

use crate::change::Change;
use crate::error::{Error, Result};
use crate::link::Link;
use crate::rtnetlink::Rtnetlink;

/// The first byte of these port IDs and groups. Process IDs, which are the kernel's default port IDs, are below 2^22;
/// its other port IDs have the highest bit; administrators number groups from 0, in `/etc/iproute2/group`.
const SIGNATURE: u32 = 0x57 << 24;
const SIGNATURE_MASK: u32 = 0xff << 24;
/// A random port ID is in use once in 2^24 tries.
const ATTEMPTS: u32 = 8;

/// Binds a socket to a port ID that is unique in its namespace, and returns it.
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
    /// Returns whether the link is in the group of an unfinished link. Its creator may be gone; see
    /// [`Rtnetlink::is_being_made`].
    pub fn is_unfinished(&self) -> bool {
        self.group & SIGNATURE_MASK == SIGNATURE
    }
}

impl Change {
    /// Removes a link from the group of unfinished links. As `ip link set dev NAME group default`.
    pub fn finish(link: u32) -> Self {
        Self::set_group(link, 0)
    }
}

impl Rtnetlink {
    /// Returns whether this socket created `link` and has not finished it. So a creation whose answer was lost is
    /// distinguished from a link that existed before.
    pub fn is_maker_of(&self, link: &Link) -> bool {
        link.group == self.port
    }

    /// Returns whether a process that was killed left `link`, a link of this thread's namespace, unfinished.
    ///
    /// # Errors
    /// As [`Rtnetlink::is_being_made`], and the kernel's refusal.
    pub fn is_abandoned(&mut self, link: &Link) -> Result<bool> {
        if !link.is_unfinished() || self.is_being_made(link)? {
            return Ok(false);
        }
        // The creator may have finished the link and ended since.
        Ok(self.link_by_index(link.index)?.is_some_and(|now| now.group == link.group))
    }

    /// Returns whether the creator of `link`, a link of this thread's namespace, still runs; false for a finished
    /// link, and for one whose creator ended before.
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
