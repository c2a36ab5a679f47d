//! The pod's end of an attachment: kernel parameters, addresses, routes.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use linux::{Change, DuplicateDetection, Namespace, Rtnetlink, sysctl};

use crate::addressing::Addressing;
use crate::error::{Result, internal};

/// The longest wait for duplicate address detection. The kernel probes for about two seconds; a runtime gives a plugin
/// minutes.
const DAD_PATIENCE: Duration = Duration::from_secs(10);
/// The longest wait for the carrier of a pair. The reference waits 2.5 s, which a busy node may exceed.
pub(crate) const CARRIER_PATIENCE: Duration = Duration::from_secs(10);

/// The pod's interface, as it was created.
pub(crate) struct PodEnd<'a> {
    /// The pod's namespace.
    pub namespace: &'a Namespace,
    /// A socket in it.
    pub rtnetlink: &'a mut Rtnetlink,
    /// Index of the interface.
    pub index: u32,
    /// Name of the interface.
    pub name: &'a str,
    /// Its hardware address [follows](crate::pod_mac) from its address: neighbours know no other.
    pub is_known: bool,
}

impl PodEnd<'_> {
    /// Brings the interface up with its addresses and routes. When this returns, all of them are usable.
    ///
    /// The kernel announces addresses when an interface goes up (`arp_notify`, `ndisc_notify`): a frame to every pod on
    /// the bridge. Where neighbours need none, announcements are switched on for IPv4 afterwards, for the next time,
    /// and not for IPv6: that is a kernel parameter, which costs more the more namespaces there are.
    ///
    /// The kernel gives the interface its link-local address and probes it for a second or two. Without these probes
    /// (`accept_dad`), its reports and solicitations would go to every pod on the bridge within this ADD, while every
    /// other change of a link waits.
    ///
    /// `last` are the plugin's own changes, after the routes.
    pub fn configure(
        &mut self,
        addressing: &Addressing,
        dad: DuplicateDetection,
        last: Vec<Change>,
    ) -> Result<()> {
        let ipv6: Vec<_> = addressing.ips.iter().filter_map(|ip| ipv6(ip.address.ip())).collect();
        if !ipv6.is_empty() && !self.is_known {
            self.namespace.enter(|| {
                sysctl::prefer(&self.ipv6_parameter("ndisc_notify"), "1");
                Ok(())
            })?;
        }
        let announcement = addressing.has_family(true).then(|| Change::announce_ipv4_addresses(self.index));
        let (before, after) = if self.is_known { (None, announcement) } else { (announcement, None) };
        let addresses = addressing.ips.iter().map(|ip| Change::add_address(self.index, ip.address, dad));
        let routes = addressing.kernel_routes().map(|route| Change::add_route(self.index, &route));
        let changes: Vec<Change> = before
            .into_iter()
            .chain(addresses)
            .chain([Change::set_up(self.index)])
            .chain(routes)
            .chain(last)
            .chain(after)
            .collect();
        let made = match self.rtnetlink.apply(&changes) {
            Err(error) if error.is_denied() && !ipv6.is_empty() => {
                self.enable_ipv6()?;
                self.rtnetlink.apply(&changes)
            }
            made => made,
        };
        made.map_err(|source| {
            if source.is_unreachable() {
                let addresses: Vec<_> = addressing.addresses().iter().map(ToString::to_string).collect();
                internal(format_args!(
                    "{source}; a next hop must be in a subnet of the pod's addresses ({}), or have a route of scope 253 (link) before it",
                    addresses.join(", ")
                ))
            } else {
                source.into()
            }
        })?;
        let here = Some(self.namespace);
        self.rtnetlink.wait_until_operational(here, self.index, CARRIER_PATIENCE)?;
        if !ipv6.is_empty() {
            self.rtnetlink.wait_until_usable(here, self.index, &ipv6, dad, DAD_PATIENCE)?;
        }
        Ok(())
    }

    /// Enables IPv6 for the interface. Container runtimes and hardened nodes disable it for new interfaces; the kernel
    /// then refuses an address. Only then the parameter is read, because `/proc/sys` costs more the more namespaces
    /// there are.
    fn enable_ipv6(&self) -> linux::Result<()> {
        self.namespace.enter(|| sysctl::ensure_if_present(&self.ipv6_parameter("disable_ipv6"), "0"))
    }

    fn ipv6_parameter(&self, key: &str) -> String {
        format!("net/ipv6/conf/{}/{key}", self.name)
    }
}

fn ipv6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(address),
    }
}
