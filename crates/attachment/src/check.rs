//! CHECK of a pod's interface against the result of ADD.
//!
//! Later plugins of the chain may have added routes and addresses, and changed the MTU. A hardware address that they
//! changed stands in `prevResult` (specification, section 5, "CHECK").

use cni::{Failure, IpConfig, Request};
use ipnetwork::IpNetwork;
use linux::{Family, Link, Route, Rtnetlink};
use nft::Nftables;

use crate::claimant::claimant;
use crate::error::{Result, differs};
use crate::masquerade;

/// The interface as `prevResult` describes it.
pub struct Expected<'a> {
    /// `CNI_NETNS`.
    pub netns: &'a str,
    interface: &'a str,
    /// Empty where the result has none.
    mac: &'a str,
    /// The addresses of the interface.
    pub ips: Vec<&'a IpConfig>,
    routes: &'a [cni::Route],
}

impl<'a> Expected<'a> {
    /// Reads `prevResult`.
    ///
    /// # Errors
    /// When there is none.
    pub fn of(request: &'a Request) -> Result<Self> {
        let previous = request.prev_result.as_ref().ok_or_else(Failure::no_prev_result)?;
        let interface = request.interface();
        let index = previous
            .interfaces
            .iter()
            .position(|candidate| candidate.name == interface && !candidate.sandbox.is_empty());
        Ok(Self {
            netns: request.netns().unwrap_or_default(),
            interface,
            mac: index.map_or("", |index| &previous.interfaces[index].mac),
            ips: previous.ips.iter().filter(|ip| ip.interface.is_none() || ip.interface == index).collect(),
            routes: &previous.routes,
        })
    }

    fn addresses(&self) -> Vec<IpNetwork> {
        self.ips.iter().map(|ip| ip.address).collect()
    }

    /// Finds the interface, which must be a veth device with the hardware address of the result, and up if `wants_up`.
    ///
    /// # Errors
    /// The first difference, and the kernel's refusal.
    pub fn check_pod_end(&self, pod: &mut Rtnetlink, wants_up: bool) -> Result<Link> {
        let Self { netns, interface, .. } = self;
        let Some(link) = pod.link_by_name(interface)? else {
            return differs(format_args!("interface {interface:?} does not exist any more in {netns}"));
        };
        if !link.is("veth") {
            return differs(format_args!("interface {interface:?} in {netns} is not a veth device any more"));
        }
        if !link.up && wants_up {
            return differs(format_args!("interface {interface:?} in {netns} is down"));
        }
        let found = link.mac.map(|mac| mac.to_string()).unwrap_or_default();
        if !self.mac.is_empty() && !self.mac.eq_ignore_ascii_case(&found) {
            return differs(format_args!(
                "interface {interface:?} in {netns} has hardware address {found}, the result says {}",
                self.mac
            ));
        }
        Ok(link)
    }

    /// Checks that the interface has its addresses. It may have others, too.
    ///
    /// # Errors
    /// The first difference, and the kernel's refusal.
    pub fn check_addresses(&self, pod: &mut Rtnetlink, interface: &Link) -> Result<()> {
        let present = pod.addresses(interface.index)?;
        let is_gone = |wanted: &&&IpConfig| !present.iter().any(|address| address.network == wanted.address);
        match self.ips.iter().find(is_gone) {
            None => Ok(()),
            Some(gone) => differs(format_args!(
                "address {} is gone from interface {:?} in {}",
                gone.address, self.interface, self.netns
            )),
        }
    }

    /// Checks that packets which leave the pod's subnets are masqueraded.
    ///
    /// # Errors
    /// When it is not in effect, and the kernel's refusal.
    pub fn check_masquerade(&self, request: &Request) -> Result<()> {
        if self.ips.is_empty() {
            return Ok(());
        }
        match masquerade::check(&mut Nftables::open()?, &claimant(request), &self.addresses())? {
            Some(fault) => differs(format_args!("masquerading: {fault}")),
            None => Ok(()),
        }
    }

    /// Checks that the pod has the routes.
    ///
    /// Of a route without a next hop in the result only the destination counts: ADD may have used the gateway. The same
    /// holds for default routes, as for the reference: a VPN in the pod replaces their next hop. The interface of a
    /// route does not count: the result also has the routes of other plugins of the chain.
    ///
    /// # Errors
    /// The first difference, and the kernel's refusal.
    pub fn check_routes(&self, pod: &mut Rtnetlink) -> Result<()> {
        let mut present = Vec::new();
        for (family, is_ipv4) in [(Family::V4, true), (Family::V6, false)] {
            if self.routes.iter().any(|route| route.dst.is_ipv4() == is_ipv4) {
                present.extend(pod.routes(family)?);
            }
        }
        let is_there = |wanted: &cni::Route| {
            let next_hop = wanted.gw.filter(|hop| !hop.is_unspecified() && wanted.dst.prefix() > 0);
            present.iter().any(|route: &Route| {
                route.destination.network() == wanted.dst.network()
                    && route.destination.prefix() == wanted.dst.prefix()
                    && (next_hop.is_none() || route.gateway == next_hop)
            })
        };
        match self.routes.iter().find(|wanted| !is_there(wanted)) {
            None => Ok(()),
            Some(gone) => {
                let via = gone.gw.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
                differs(format_args!("the route to {}{via} is gone from {}", gone.dst, self.netns))
            }
        }
    }
}
