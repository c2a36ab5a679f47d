//! Waiting until IPv6 addresses are usable.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use netlink_packet_route::address::AddressMessage;
use nix::libc::RTNLGRP_IPV6_IFADDR;

use crate::address::DuplicateDetection;
use crate::error::{Error, Result};
use crate::multicast::solicited_node;
use crate::namespace::Namespace;
use crate::rtnetlink::Rtnetlink;

impl Rtnetlink {
    /// Waits until the IPv6 addresses of a link are usable, for at most `patience`. `namespace` is this socket's; the
    /// thread's when absent. As `ip -6 monitor address`.
    ///
    /// With [`DuplicateDetection::Run`], all addresses of the link must have passed, including the link-local one.
    /// With [`DuplicateDetection::Skip`], the link must have joined the solicited-node multicast groups of
    /// `addresses`, which a kernel work queue does a moment after they are added; its link-local address is not
    /// waited for.
    ///
    /// # Errors
    /// When another node answered, and when the time is up.
    pub fn wait_until_usable(
        &mut self,
        namespace: Option<&Namespace>,
        link: u32,
        addresses: &[Ipv6Addr],
        dad: DuplicateDetection,
        patience: Duration,
    ) -> Result<()> {
        let pending = self.wait_while(namespace, RTNLGRP_IPV6_IFADDR, patience, |rtnetlink| {
            rtnetlink.unusable(link, addresses, dad)
        })?;
        match pending {
            None => Ok(()),
            Some(address) => Err(Error::Other(format!(
                "IPv6 address {address} on {} is still tentative after {} s: duplicate address detection has not ended",
                self.name_of(link),
                patience.as_secs()
            ))),
        }
    }

    /// Returns one of the addresses that cannot be used yet.
    fn unusable(
        &mut self,
        link: u32,
        addresses: &[Ipv6Addr],
        dad: DuplicateDetection,
    ) -> Result<Option<Ipv6Addr>> {
        match dad {
            DuplicateDetection::Skip => {
                let groups = self.multicast_groups(link)?;
                Ok(addresses.iter().copied().find(|address| !groups.contains(&solicited_node(*address))))
            }
            DuplicateDetection::Run => self.tentative(link),
        }
    }

    fn tentative(&mut self, link: u32) -> Result<Option<Ipv6Addr>> {
        let mut tentative = None;
        // An absent link is an error here.
        for address in self.list_addresses(link, AddressMessage::default())? {
            let IpAddr::V6(ip) = address.network.ip() else { continue };
            if address.duplicate {
                return Err(Error::Other(format!(
                    "IPv6 address {ip} on {} is already used by another node on this link (duplicate address detection failed)",
                    self.name_of(link)
                )));
            }
            if address.tentative {
                tentative = Some(ip);
            }
        }
        Ok(tentative)
    }
}
