//! ADD: look before touching anything, get addresses, make the pair, undo all of it on an error.

use cni::{AddResult, Delegate, Dns, Interface, IpConfig, Request};
use linux::{Change, Family, Link, Mac, Namespace, NewLink, NewLinkKind, Rtnetlink, VethPeer, sysctl};
use nft::{Nftables, Owner};

use crate::addressing::Addressing;
use crate::config::Config;
use crate::del;
use crate::device::{self, GatewayPlan};
use crate::error::{Error, Result};
use crate::host_end::{self, CANDIDATES, HostEnd};
use crate::pair::{delete, take_addresses};
use crate::pod_end::{CARRIER_PATIENCE, PodEnd};
use crate::pod_mac;
use crate::spoof_check;
use crate::vlan_gateway;

pub(crate) fn add(request: &Request) -> Result<AddResult> {
    let config = Config::read(request)?;
    let netns = request.netns().unwrap_or_default();
    let namespace = Namespace::open(netns).map_err(Error::of_namespace)?;
    let mut pod = namespace.rtnetlink().map_err(Error::of_namespace)?;
    let mut host = Rtnetlink::open()?;
    let attached = attached(request, &mut host)?;
    if pod.link_by_name(request.interface())?.is_some() {
        return Err(interface_taken(request));
    }
    if let Some(link) = attached {
        return Err(already_attached(request, link.name));
    }
    let bridge = device::find(&mut host, &config.bridge)?;
    let ipam = config.ipam.as_deref().map(|name| request.delegate(name)).transpose()?;

    let mut addition = Addition {
        request,
        config: &config,
        host,
        pod,
        namespace,
        ipam,
        addressed: false,
        tried_name: None,
        host_end: None,
        spoof_checked: false,
        masqueraded: false,
    };
    let outcome = addition.make(bridge);
    if outcome.is_err() {
        addition.undo();
    }
    outcome
}

/// The host's end of an attachment that is there already. The IPAM plugin must not be asked then: it may answer with
/// the addresses that are in use, which undoing this ADD would release. The remains of a killed ADD are removed.
fn attached(request: &Request, host: &mut Rtnetlink) -> Result<Option<Link>> {
    let Some(link) = host_end::find(host, &request.attachment())? else { return Ok(None) };
    if host.is_abandoned(&link)? {
        del::del(request)?;
        return Ok(None);
    }
    Ok(Some(link))
}

/// One ADD: what it works with, and what it has made so far, or tried to: a request may have been carried out although
/// its answer was lost.
struct Addition<'a> {
    request: &'a Request,
    config: &'a Config,
    host: Rtnetlink,
    pod: Rtnetlink,
    namespace: Namespace,
    ipam: Option<Delegate<'a>>,
    addressed: bool,
    tried_name: Option<String>,
    host_end: Option<Link>,
    spoof_checked: bool,
    masqueraded: bool,
}

impl Addition<'_> {
    /// A pod's hardware address follows from its IP address, so the IPAM plugin is asked first; but one that is
    /// executed may need the interface (`dhcp`). The gateways come last: nothing after them fails that would leave
    /// the bridge with an address for which no pod was attached.
    fn make(&mut self, bridge: Option<Link>) -> Result<AddResult> {
        let needs_interface = self.ipam.as_ref().is_some_and(Delegate::is_executed);
        let addressed = if needs_interface { None } else { Some(self.addressing()?) };
        let bridge = device::ensure(&mut self.host, self.config, bridge)?;
        let prepared = match &addressed {
            Some((addressing, _)) => Some(self.prepare(&bridge, addressing)?),
            None => None,
        };
        let pod_mac = self.config.mac.unwrap_or_else(|| match &addressed {
            Some((addressing, _)) => pod_mac::following(self.request, addressing),
            None => pod_mac::of_attachment(self.request),
        });
        let host_end = self.create_pair(&bridge, pod_mac)?;
        self.host_end = Some(host_end.clone());
        self.connect(&host_end, &bridge, pod_mac)?;
        if needs_interface {
            // `dhcp` raises it too, and waits for seconds when it cannot send at once.
            let index = host_end.peer.unwrap_or_default();
            self.pod.set_up(index)?;
            self.pod.wait_until_operational(Some(&self.namespace), index, CARRIER_PATIENCE)?;
        }
        let (addressing, ipam_dns) = addressed.map_or_else(|| self.addressing(), Ok)?;
        let (vlan_gateway, plan) = prepared.map_or_else(|| self.prepare(&bridge, &addressing), Ok)?;
        if !self.config.disable_container_interface {
            self.configure(&host_end, &addressing, pod_mac, needs_interface)?;
        }
        if self.config.ip_masq && !addressing.ips.is_empty() {
            self.masqueraded = true;
            Nftables::open()?.add_masquerade(&owner(self.request), &addressing.addresses())?;
        }
        if !self.config.disable_container_interface {
            self.host.wait_until_operational(None, host_end.index, CARRIER_PATIENCE)?;
        }
        enable_forwarding(&mut self.host, &addressing)?;
        plan.carry_out(&mut self.host, vlan_gateway.as_ref().unwrap_or(&bridge))?;
        self.host.apply(&[Change::finish(host_end.index)])?;
        Ok(self.result(addressing, ipam_dns, [bridge, host_end], pod_mac, vlan_gateway))
    }

    /// Finds out what is to be done for the gateways, on the interface in a VLAN that has them in place of the bridge,
    /// where there is one.
    fn prepare(&mut self, bridge: &Link, addressing: &Addressing) -> Result<(Option<Link>, GatewayPlan)> {
        let vlan_gateway = self.vlan_gateway(bridge, addressing)?;
        let interface = vlan_gateway.as_ref().unwrap_or(bridge);
        let force = self.config.force_address;
        let plan = GatewayPlan::new(&mut self.host, interface, &addressing.gateways, force)?;
        Ok((vlan_gateway, plan))
    }

    /// Brings the host's end up as a port of the bridge.
    fn connect(&mut self, host_end: &Link, bridge: &Link, pod_mac: Mac) -> Result<()> {
        if self.config.macspoofchk {
            self.spoof_checked = true;
            spoof_check::begin(self.request, host_end, pod_mac)?;
        }
        let alias = self.request.attachment().to_string();
        self.host.raise_port(host_end, &alias, self.config.port)?;
        match &self.config.vlans {
            Some(vlans) => vlans.carry(&mut self.host, host_end.index, bridge),
            None => Ok(()),
        }
    }

    /// Gives the pod's end its addresses and routes.
    fn configure(
        &mut self,
        host_end: &Link,
        addressing: &Addressing,
        pod_mac: Mac,
        is_up: bool,
    ) -> Result<()> {
        let index = host_end.peer.unwrap_or_default();
        PodEnd {
            namespace: &self.namespace,
            rtnetlink: &mut self.pod,
            index,
            name: self.request.interface(),
            is_known: self.config.mac.is_none() && !is_up,
        }
        .configure(addressing, self.config.dad)?;
        if is_up && let Err(error) = self.pod.set_mac(index, pod_mac) {
            // The kernel announces addresses when an interface goes up, for which it was too early, and when its
            // hardware address is set.
            cni::note(format_args!("bridge: neighbours learn of the addresses only by asking: {error}"));
        }
        Ok(())
    }

    /// The interface that has the gateways' addresses in place of the bridge.
    fn vlan_gateway(&mut self, bridge: &Link, addressing: &Addressing) -> Result<Option<Link>> {
        let gateway = self.config.vlans.as_ref().and_then(|vlans| vlans.gateway(&bridge.name));
        match gateway {
            Some(gateway) if !addressing.gateways.is_empty() => {
                vlan_gateway::ensure(&mut self.host, &gateway, bridge, &self.request.network).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn addressing(&mut self) -> Result<(Addressing, Dns)> {
        let Some(ipam) = &self.ipam else { return Ok((Addressing::default(), Dns::default())) };
        let answer = ipam.add();
        // One that said that it failed has assigned none; one whose answer cannot be read may have.
        self.addressed = !matches!(answer, Err(cni::Error::Plugin(_)));
        let answer = answer?;
        if answer.ips.is_empty() {
            let ipam = self.config.ipam.clone().unwrap_or_default();
            return Err(Error::NoAddress { ipam });
        }
        Ok((Addressing::new(&answer, self.config.roles, self.config.mtu)?, answer.dns))
    }

    fn create_pair(&mut self, bridge: &Link, pod_mac: Mac) -> Result<Link> {
        let attachment = self.request.attachment();
        let mut tried = String::new();
        for attempt in 0..CANDIDATES {
            let candidate = HostEnd::candidate(&attachment, attempt);
            let peer = VethPeer {
                name: self.request.interface(),
                mac: Some(pod_mac),
                namespace: Some(&self.namespace),
            };
            let pair = NewLink {
                mac: Some(candidate.mac),
                mtu: self.config.mtu,
                master: Some(bridge.index),
                unfinished: true,
                ..NewLink::new(&candidate.name, NewLinkKind::Veth(peer))
            };
            self.tried_name = Some(candidate.name.clone());
            match self.host.create(&pair) {
                Ok(link) => return Ok(link),
                Err(error) if error.is_full() => {
                    return Err(Error::BridgeFull { bridge: bridge.name.clone() });
                }
                Err(error) if error.is_taken() => match self.host.link_by_name(&candidate.name)? {
                    None => return Err(interface_taken(self.request)),
                    // Another ADD of this attachment was faster: the addresses are its.
                    Some(link) if candidate.is(&link, &attachment) => {
                        self.addressed = false;
                        return Err(already_attached(self.request, link.name));
                    }
                    Some(_) => tried = candidate.name,
                },
                Err(error) => return Err(error.into()),
            }
        }
        let cni::Attachment { container_id, interface, .. } = attachment;
        Err(Error::NoHostName { container_id, interface, tried })
    }

    /// Bridge, host's end, container's end and the gateway's interface in a VLAN, in the reference's order;
    /// what earlier plugins of the chain made comes after them, so that the indices of our addresses stay.
    fn result(
        &self,
        addressing: Addressing,
        ipam_dns: Dns,
        host: [Link; 2],
        pod_mac: Mac,
        vlan_gateway: Option<Link>,
    ) -> AddResult {
        const CONTAINER_END: usize = 2;
        let netns = self.request.netns().unwrap_or_default();
        let mac = |mac: Option<Mac>| mac.map(|mac| mac.to_string()).unwrap_or_default();
        let on_host = |link: Link| Interface { mac: mac(link.mac), name: link.name, ..Interface::default() };
        let mut interfaces: Vec<_> = host.into_iter().map(on_host).collect();
        interfaces.push(Interface {
            name: self.request.interface().to_owned(),
            mac: pod_mac.to_string(),
            sandbox: netns.to_owned(),
            ..Interface::default()
        });
        interfaces.extend(vlan_gateway.map(on_host));
        let ips =
            addressing.ips.into_iter().map(|ip| IpConfig { interface: Some(CONTAINER_END), ..ip }).collect();
        let dns = if self.config.dns.is_empty() { ipam_dns } else { self.config.dns.clone() };
        let mut result = AddResult { interfaces, ips, routes: addressing.routes, dns };
        if let Some(previous) = &self.request.prev_result {
            append(&mut result, previous);
        }
        result
    }

    /// Removes what this ADD made, and nothing that was there before. The error that led here is the one
    /// that is reported. Every step is tried, whatever became of the one before; the order is that of DEL.
    ///
    /// The bridge stays, also when this ADD made it: it is the network's, as the reference sees it too. Another ADD may
    /// have found it and be about to put its port there, and the kernel cannot be asked to delete a bridge only if it
    /// has no ports.
    fn undo(&mut self) {
        let masquerade = if self.masqueraded { remove_masquerade(self.request) } else { Ok(()) };
        let mut ipam = self.ipam.take().filter(|_| self.addressed);
        let needs_interface = ipam.as_ref().is_some_and(Delegate::is_executed);
        let mut release = |wanted: bool| match ipam.take_if(|_| wanted) {
            Some(ipam) => ipam.del().map_err(Error::from),
            None => Ok(()),
        };
        let found = self.made();
        let mut early = Ok(());
        let pair = match found {
            Ok(Some(link)) => {
                let index = link.peer.unwrap_or_default();
                let is_off = needs_interface && take_addresses(&mut self.pod, index).is_ok();
                early = release(is_off);
                delete(&mut self.host, link.index)
            }
            found => found.map(drop),
        };
        // Frames are checked until their device is gone.
        let spoof_check = match &self.host_end {
            Some(port) if self.spoof_checked => Nftables::open()
                .map_err(Error::from)
                .and_then(|mut nftables| spoof_check::end(&mut nftables, self.request, Some(&port.name))),
            _ => Ok(()),
        };
        // While the device may be there, its addresses stay reserved.
        let late = release(pair.is_ok());
        for error in [masquerade, early, pair, spoof_check, late].into_iter().filter_map(Result::err) {
            let container = self.request.container_id();
            cni::note(format_args!("bridge: while undoing a failed ADD of container {container}: {error}"));
        }
    }

    /// The host's end, if this ADD made it; also where the kernel's answer was lost.
    fn made(&mut self) -> Result<Option<Link>> {
        match (&self.host_end, &self.tried_name) {
            (Some(link), _) => Ok(Some(link.clone())),
            (None, Some(name)) => {
                Ok(self.host.link_by_name(name)?.filter(|link| self.host.is_maker_of(link)))
            }
            (None, None) => Ok(None),
        }
    }
}

fn remove_masquerade(request: &Request) -> Result<()> {
    Nftables::open()?.remove_masquerade(&owner(request))?;
    Ok(())
}

/// Whom the masquerade entries of this attachment belong to.
pub(crate) fn owner(request: &Request) -> Owner<'_> {
    Owner { network: &request.network, container_id: request.container_id(), interface: request.interface() }
}

fn interface_taken(request: &Request) -> Error {
    Error::InterfaceTaken {
        container_id: request.container_id().to_owned(),
        interface: request.interface().to_owned(),
        netns: request.netns().unwrap_or_default().to_owned(),
    }
}

fn already_attached(request: &Request, host: String) -> Error {
    Error::AlreadyAttached {
        host,
        container_id: request.container_id().to_owned(),
        interface: request.interface().to_owned(),
    }
}

fn enable_forwarding(host: &mut Rtnetlink, addressing: &Addressing) -> Result<()> {
    for (family, is_ipv4, key) in
        [(Family::V4, true, "net/ipv4/ip_forward"), (Family::V6, false, "net/ipv6/conf/all/forwarding")]
    {
        let is_needed = addressing.gateways.iter().any(|gateway| gateway.is_ipv4() == is_ipv4);
        if is_needed && !host.forwards(family) {
            sysctl::ensure(key, "1")?;
        }
    }
    Ok(())
}

/// Passes on what earlier plugins of the chain made (Nomad and buildkit run `loopback` first). Loopback
/// addresses stay behind: the plugins after us take every address of the result for the pod's.
fn append(result: &mut AddResult, previous: &AddResult) {
    let offset = result.interfaces.len();
    result.interfaces.extend(previous.interfaces.iter().cloned());
    let passed = previous.ips.iter().filter(|ip| !ip.address.ip().is_loopback());
    result.ips.extend(
        passed.map(|ip| IpConfig { interface: ip.interface.map(|index| index + offset), ..ip.clone() }),
    );
    result.routes.extend(previous.routes.iter().cloned());
    if result.dns.is_empty() {
        result.dns = previous.dns.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_loopback_made_comes_after_ours_and_without_its_addresses() {
        let interface = |name: &str| Interface { name: name.into(), ..Interface::default() };
        let ip = |address: &str, interface| IpConfig {
            interface: Some(interface),
            address: address.parse().unwrap(),
            gateway: None,
        };
        let mut result = AddResult {
            interfaces: ["cni0", "veth1", "eth0"].map(interface).to_vec(),
            ips: vec![ip("10.1.2.7/24", 2)],
            ..AddResult::default()
        };
        let previous = AddResult {
            interfaces: ["lo", "net1"].map(interface).to_vec(),
            ips: vec![ip("127.0.0.1/8", 0), ip("192.168.7.2/24", 1)],
            ..AddResult::default()
        };
        append(&mut result, &previous);
        let names: Vec<_> = result.interfaces.iter().map(|interface| interface.name.as_str()).collect();
        assert_eq!(names, ["cni0", "veth1", "eth0", "lo", "net1"]);
        assert_eq!(result.ips, [ip("10.1.2.7/24", 2), ip("192.168.7.2/24", 4)]);
    }
}
