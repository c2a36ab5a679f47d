//! Waiting until duplicate address detection is over, by the kernel's events.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use netlink_sys::protocols::NETLINK_ROUTE;

use crate::error::{Error, Result};
use crate::netlink::Socket;
use crate::rtnetlink::Rtnetlink;

/// `RTNLGRP_IPV6_IFADDR` (uapi/linux/rtnetlink.h).
const IPV6_ADDRESS_GROUP: u32 = 9;

/// Events about IPv6 addresses in one namespace, from the moment of [`AddressEvents::open`] on.
pub struct AddressEvents(Socket);

impl AddressEvents {
    /// Subscribes in the current namespace. Do this before the addresses are added, so that no event is
    /// missed. As `ip -6 monitor address`.
    ///
    /// # Errors
    /// [`Error::Netlink`] when the kernel gives no socket.
    pub fn open() -> Result<Self> {
        let mut socket = Socket::open(NETLINK_ROUTE)?;
        socket.subscribe(IPV6_ADDRESS_GROUP)?;
        Ok(Self(socket))
    }

    /// Waits until no IPv6 address of `link` is tentative, for at most `patience`.
    ///
    /// # Errors
    /// [`Error::DuplicateAddress`] when another node answered, [`Error::StillTentative`] when the time is
    /// up.
    pub fn until_usable(
        &mut self,
        rtnetlink: &mut Rtnetlink,
        link: u32,
        name: &str,
        patience: Duration,
    ) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let mut waiting = None;
            for address in rtnetlink.addresses(link)? {
                let IpAddr::V6(ip) = address.network.ip() else { continue };
                if address.duplicate {
                    return Err(Error::DuplicateAddress { address: ip, interface: name.to_owned() });
                }
                if address.tentative {
                    waiting = Some(ip);
                }
            }
            let Some(address) = waiting else { return Ok(()) };
            let event = self.0.wait(deadline, |_| {}).map_err(|failure| {
                failure.during(format_args!("wait for duplicate address detection on {name}"))
            })?;
            if !event {
                return Err(Error::StillTentative {
                    address,
                    interface: name.to_owned(),
                    seconds: patience.as_secs(),
                });
            }
        }
    }
}
