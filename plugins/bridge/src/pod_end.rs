//! The pod's end of an attachment: kernel parameters, addresses, routes.

use std::time::Duration;

use linux::{AddressEvents, Change, DuplicateDetection, Namespace, Rtnetlink, sysctl};

use crate::addressing::Addressing;
use crate::error::Result;

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
}

impl PodEnd<'_> {
    /// Brings the interface up with its addresses and routes. When this returns, all of them are usable.
    ///
    /// The addresses come before the link is up, so that the kernel announces them (`arp_notify`,
    /// `ndisc_notify`) and neighbours forget who had them before.
    pub fn configure(&mut self, addressing: &Addressing, dad: DuplicateDetection) -> Result<()> {
        let has_ipv6 = addressing.has_family(false);
        let mut events = self.namespace.enter(|| {
            self.set_parameters(addressing, dad)?;
            has_ipv6.then(AddressEvents::open).transpose()
        })?;
        let announced = addressing.has_family(true).then(|| Change::announce_ipv4_addresses(self.index));
        let addresses = addressing.ips.iter().map(|ip| Change::add_address(self.index, ip.address, dad));
        let routes = addressing.kernel_routes().map(|route| Change::add_route(self.index, &route));
        let changes: Vec<Change> = announced
            .into_iter()
            .chain(addresses)
            .chain([Change::set_up(self.index)])
            .chain(routes)
            .collect();
        self.rtnetlink.make(&changes)?;
        if let Some(events) = &mut events {
            events.until_usable(self.rtnetlink, self.index, self.name, DAD_PATIENCE)?;
        }
        Ok(())
    }

    /// What IPv6 needs, which netlink cannot set. Only what addresses need must succeed: announcements and the
    /// link-local address of an IPv4 pod are worth no failed ADD where `/proc/sys` is read-only.
    fn set_parameters(&self, addressing: &Addressing, dad: DuplicateDetection) -> linux::Result<()> {
        let of = |family: &str, key: &str| format!("net/{family}/conf/{}/{key}", self.name);
        let skips_dad = dad == DuplicateDetection::Skip;
        if addressing.has_family(false) {
            sysctl::prefer(&of("ipv6", "ndisc_notify"), "1");
            sysctl::ensure_if_present(&of("ipv6", "disable_ipv6"), "0")?;
            if skips_dad {
                sysctl::ensure_if_present(&of("ipv6", "accept_dad"), "0")?;
            }
        } else if skips_dad {
            sysctl::prefer(&of("ipv6", "accept_dad"), "0");
        }
        Ok(())
    }
}
