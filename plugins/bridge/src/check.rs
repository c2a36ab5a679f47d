//! CHECK: everything that ADD made is still there.
//!
//! Later plugins of the chain may have added routes and addresses, and changed the MTU; what they changed
//! of the hardware address stands in `prevResult` (specification, section 5, "CHECK").

use cni::{AddResult, Attachment, Request};
use ipnetwork::IpNetwork;
use linux::{Family, Link, LinkAddress, Namespace, Route, Rtnetlink};
use nft::Nftables;

use crate::add::owner;
use crate::check_vlans::check_vlans;
use crate::config::Config;
use crate::device;
use crate::error::{Difference, Error, Result};
use crate::spoof_check;

pub(crate) fn check(request: &Request) -> Result<()> {
    let config = Config::read(request)?;
    let previous = request.prev_result.as_ref().ok_or(Error::NoPrevResult)?;
    if let Some(ipam) = &config.ipam {
        request.delegate(ipam)?.check()?;
    }
    let expected = Expected::new(request, previous);
    let mut host = Rtnetlink::open()?;
    let bridge = device::find(&mut host, &config.bridge)?
        .ok_or_else(|| Error::Differs(Difference::BridgeGone(config.bridge.to_string())))?;
    let namespace = Namespace::open(expected.netns).map_err(Error::of_namespace)?;
    let mut pod = namespace.rtnetlink().map_err(Error::of_namespace)?;

    let interface = check_pod_end(&mut pod, &expected, &config)?;
    let attachment = request.attachment();
    let host_end = check_port(&mut host, &namespace, &interface, &bridge, &attachment)?;
    // Who made the pair made what belongs to it in nf_tables: without our alias that is the reference.
    let is_ours = host_end.alias.as_deref().is_some_and(|alias| attachment.is_named_by(alias));
    check_settings(&config, &host_end, &bridge)?;
    if config.macspoofchk && is_ours {
        spoof_check::check(request, &host_end)?;
    }
    let gateway = match &config.vlans {
        Some(vlans) => {
            let has_gateway = config.roles.is_gateway && !expected.addresses.is_empty();
            check_vlans(&mut host, vlans, &bridge, &host_end, has_gateway)?
        }
        None => None,
    };
    if config.disable_container_interface {
        return Ok(());
    }
    check_addresses(&pod.addresses(interface.index)?, &expected)?;
    check_routes(&mut pod, &expected)?;
    if config.roles.is_gateway {
        let gateway = gateway.unwrap_or(bridge);
        check_gateways(&host.addresses(gateway.index)?, &gateway, &expected)?;
    }
    if config.ip_masq && is_ours && !expected.addresses.is_empty() {
        let fault = Nftables::open()?.check_masquerade(&owner(request), &expected.addresses())?;
        if let Some(fault) = fault {
            return Err(Error::Differs(Difference::Masquerade(fault.to_string())));
        }
    }
    Ok(())
}

/// What `prevResult` says of our interface.
struct Expected<'a> {
    netns: &'a str,
    interface: &'a str,
    mac: &'a str,
    addresses: Vec<&'a cni::IpConfig>,
    routes: &'a [cni::Route],
}

impl<'a> Expected<'a> {
    fn new(request: &'a Request, previous: &'a AddResult) -> Self {
        let interface = request.interface();
        let index = previous
            .interfaces
            .iter()
            .position(|candidate| candidate.name == interface && !candidate.sandbox.is_empty());
        Self {
            netns: request.netns().unwrap_or_default(),
            interface,
            mac: index.map_or("", |index| &previous.interfaces[index].mac),
            addresses: previous
                .ips
                .iter()
                .filter(|ip| ip.interface.is_none() || ip.interface == index)
                .collect(),
            routes: &previous.routes,
        }
    }

    fn addresses(&self) -> Vec<IpNetwork> {
        self.addresses.iter().map(|ip| ip.address).collect()
    }
}

pub(crate) fn differs<T>(difference: Difference) -> Result<T> {
    Err(Error::Differs(difference))
}

fn check_pod_end(pod: &mut Rtnetlink, expected: &Expected<'_>, config: &Config) -> Result<Link> {
    let (interface, netns) = (expected.interface.to_owned(), expected.netns.to_owned());
    let Some(link) = pod.link_by_name(expected.interface)? else {
        return differs(Difference::InterfaceGone { interface, netns });
    };
    if !link.is("veth") {
        return differs(Difference::NotVeth { interface, netns });
    }
    if !link.up && !config.disable_container_interface {
        return differs(Difference::Down { interface, netns });
    }
    let found = link.mac.map(|mac| mac.to_string()).unwrap_or_default();
    if !expected.mac.is_empty() && !expected.mac.eq_ignore_ascii_case(&found) {
        let wanted = expected.mac.to_owned();
        return differs(Difference::Mac { interface, netns, found, wanted });
    }
    Ok(link)
}

/// The host's end, which is a port of the bridge and does not say that it is another attachment's.
fn check_port(
    host: &mut Rtnetlink,
    namespace: &Namespace,
    interface: &Link,
    bridge: &Link,
    attachment: &Attachment,
) -> Result<Link> {
    let host_end = host.other_end(interface, namespace)?;
    let is_anothers = |alias: &str| Attachment::parse(alias).is_some() && !attachment.is_named_by(alias);
    let is_the_port = |link: &Link| {
        link.is("veth")
            && link.master == Some(bridge.index)
            && !link.alias.as_deref().is_some_and(is_anothers)
    };
    let Some(host_end) = host_end.filter(is_the_port) else {
        let (interface, bridge) = (interface.name.clone(), bridge.name.clone());
        return differs(Difference::NotAPort { interface, bridge });
    };
    let down = [&host_end, bridge].into_iter().find(|link| !link.up).map(|down| down.name.clone());
    down.map_or(Ok(host_end), |down| differs(Difference::HostLinkDown(down)))
}

/// The settings of port and bridge that the config asks for are on. An administrator may have switched others on.
fn check_settings(config: &Config, port: &Link, bridge: &Link) -> Result<()> {
    let settings = [
        ("hairpinMode", config.port.hairpin, port.port.hairpin, port),
        ("portIsolation", config.port.isolated, port.port.isolated, port),
        ("promiscMode", config.promiscuous, bridge.promiscuous, bridge),
    ];
    match settings.into_iter().find(|(_, wanted, found, _)| *wanted && !found) {
        None => Ok(()),
        Some((key, _, _, link)) => differs(Difference::Off { key, link: link.name.clone() }),
    }
}

fn check_addresses(present: &[LinkAddress], expected: &Expected<'_>) -> Result<()> {
    let gone = expected
        .addresses
        .iter()
        .find(|wanted| !present.iter().any(|address| address.network == wanted.address));
    match gone {
        None => Ok(()),
        Some(gone) => differs(Difference::AddressGone {
            address: gone.address,
            interface: expected.interface.to_owned(),
            netns: expected.netns.to_owned(),
        }),
    }
}

/// A route without a next hop in the result may have gone by the gateway: only its destination counts. So it is with
/// default routes, as for the reference: a VPN in the pod replaces their next hop. Through which interface a route
/// goes does not count: the result also holds what other plugins of the chain made.
fn check_routes(pod: &mut Rtnetlink, expected: &Expected<'_>) -> Result<()> {
    let mut present = Vec::new();
    for (family, is_ipv4) in [(Family::V4, true), (Family::V6, false)] {
        if expected.routes.iter().any(|route| route.dst.is_ipv4() == is_ipv4) {
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
    match expected.routes.iter().find(|wanted| !is_there(wanted)) {
        None => Ok(()),
        Some(gone) => differs(Difference::RouteGone {
            destination: gone.dst,
            gateway: gone.gw,
            netns: expected.netns.to_owned(),
        }),
    }
}

fn check_gateways(present: &[LinkAddress], interface: &Link, expected: &Expected<'_>) -> Result<()> {
    for ip in &expected.addresses {
        let Some(gateway) = ip.gateway.filter(|gateway| !gateway.is_unspecified()) else { continue };
        let is_there = present.iter().any(|address| {
            address.network.ip() == gateway && address.network.prefix() == ip.address.prefix()
        });
        if !is_there {
            let address = IpNetwork::new(gateway, ip.address.prefix()).unwrap_or_else(|_| gateway.into());
            return differs(Difference::GatewayGone { address, interface: interface.name.clone() });
        }
    }
    Ok(())
}
