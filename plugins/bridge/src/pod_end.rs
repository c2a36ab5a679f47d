//! The pod's end of an attachment: kernel parameters, addresses, routes.

use std::time::Duration;

use linux::{AddressEvents, Change, DuplicateDetection, Namespace, Rtnetlink, sysctl};

use crate::addressing::Addressing;
use crate::error::{Error, Result};

/// How long duplicate address detection may take. The kernel probes for about two seconds; a runtime
/// gives a plugin minutes.
const DAD_PATIENCE: Duration = Duration::from_secs(10);

/// The pod's interface, as it was made.
pub(crate) struct PodEnd<'a> {
    /// The pod's namespace.
    pub namespace: &'a Namespace,
    /// A socket in it.
    pub rtnetlink: &'a mut Rtnetlink,
    /// Index of the interface.
    pub index: u32,
    /// Name of the interface.
    pub name: &'a str,
    /// Whether its hardware address [follows](crate::pod_mac) from its address: then no neighbour has another one
    /// in mind.
    pub is_known: bool,
}

impl PodEnd<'_> {
    /// Brings the interface up with its addresses and routes. When this returns, all of them are usable.
    ///
    /// The kernel announces IPv4 addresses when an interface goes up (`arp_notify`): a frame to every pod on the
    /// bridge. Where none is needed, it is told to only afterwards, for the next time.
    pub fn configure(&mut self, addressing: &Addressing, dad: DuplicateDetection) -> Result<()> {
        let mut events = None;
        if addressing.has_family(false) {
            events = Some(self.namespace.enter(|| {
                self.set_ipv6_parameters(dad)?;
                AddressEvents::open()
            })?);
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
            .chain(after)
            .collect();
        self.rtnetlink.make(&changes).map_err(|source| {
            if source.is_unreachable() {
                Error::Unreachable { source, addresses: addressing.addresses() }
            } else {
                source.into()
            }
        })?;
        if let Some(events) = &mut events {
            events.until_usable(self.rtnetlink, self.index, self.name, DAD_PATIENCE)?;
        }
        Ok(())
    }

    /// What netlink cannot set, for a pod with IPv6 addresses. Only what the addresses need must succeed: an
    /// announcement is worth no failed ADD where `/proc/sys` is read-only.
    ///
    /// An IPv4 pod is left as it is: its link-local address is nobody's concern here, and without the kernel's check
    /// for duplicates its reports and solicitations would go to every pod on the bridge within this ADD.
    fn set_ipv6_parameters(&self, dad: DuplicateDetection) -> linux::Result<()> {
        let of = |key: &str| format!("net/ipv6/conf/{}/{key}", self.name);
        sysctl::prefer(&of("ndisc_notify"), "1");
        sysctl::ensure_if_present(&of("disable_ipv6"), "0")?;
        if dad == DuplicateDetection::Skip {
            sysctl::ensure_if_present(&of("accept_dad"), "0")?;
        }
        Ok(())
    }
}
