//! CHECK: everything that ADD made is still there.
//!
//! Later plugins of the chain may have added routes and addresses, and changed the MTU. A hardware address that they
//! changed is in `prevResult` (specification, section 5, "CHECK").

use attachment::{Expected, Owner, Result, differs, host_end_of, of_namespace};
use cni::{Attachment, Request};
use ipnetwork::IpNetwork;
use linux::{Link, LinkAddress, Namespace, Rtnetlink};

use crate::check_vlans::check_vlans;
use crate::config::Config;
use crate::device;
use crate::spoof_check;

pub(crate) fn check(request: &Request) -> Result<()> {
    let config = Config::read(request)?;
    let expected = Expected::of(request)?;
    if let Some(ipam) = &config.settings.ipam {
        request.delegate(ipam)?.check()?;
    }
    let mut host = Rtnetlink::open()?;
    let Some(bridge) = device::find(&mut host, &config.bridge)? else {
        return differs(format_args!("bridge {:?} does not exist any more", &*config.bridge));
    };
    let namespace = Namespace::open(expected.netns).map_err(of_namespace)?;
    let mut pod = namespace.rtnetlink().map_err(of_namespace)?;

    let interface = expected.check_pod_end(&mut pod, !config.disable_container_interface)?;
    let attachment = request.attachment();
    // Without weir's alias the reference made the pair, and its entries in nf_tables too.
    let (host_end, is_ours) = check_port(&mut host, &namespace, &interface, &bridge, &attachment)?;
    check_settings(&config, &host_end, &bridge)?;
    if config.macspoofchk && is_ours {
        spoof_check::check(request, &host_end)?;
    }
    let gateway = match &config.vlans {
        Some(vlans) => {
            let has_gateway = config.settings.roles.is_gateway && !expected.ips.is_empty();
            check_vlans(&mut host, vlans, &bridge, &host_end, has_gateway)?
        }
        None => None,
    };
    if config.disable_container_interface {
        return Ok(());
    }
    expected.check_addresses(&mut pod, &interface)?;
    expected.check_routes(&mut pod)?;
    if config.settings.roles.is_gateway {
        let gateway = gateway.unwrap_or(bridge);
        check_gateways(&host.addresses(gateway.index)?, &gateway, &expected)?;
    }
    if config.settings.ip_masq && is_ours {
        expected.check_masquerade(request)?;
    }
    Ok(())
}

/// Returns the host's end, which must be a port of the bridge and not another attachment's, and whether weir made it.
fn check_port(
    host: &mut Rtnetlink,
    namespace: &Namespace,
    interface: &Link,
    bridge: &Link,
    attachment: &Attachment,
) -> Result<(Link, bool)> {
    let host_end = host_end_of(host, interface, namespace, attachment)?;
    let is_the_port = |(link, owner): &(Link, Owner)| {
        link.master == Some(bridge.index) && !matches!(owner, Owner::Other(_))
    };
    let Some((host_end, owner)) = host_end.filter(is_the_port) else {
        return not_a_port(interface, bridge);
    };
    if let Some(down) = [&host_end, bridge].into_iter().find(|link| !link.up) {
        return differs(format_args!("{:?} on the host is down", down.name));
    }
    Ok((host_end, owner == Owner::This))
}

/// Returns the difference that `interface` does not lead to a port of the bridge.
pub(crate) fn not_a_port<T>(interface: &Link, bridge: &Link) -> Result<T> {
    differs(format_args!(
        "the host's end of {:?} is not a port of bridge {:?} any more",
        interface.name, bridge.name
    ))
}

/// Checks that the settings of port and bridge that the config asks for are on. An administrator may have switched on
/// others.
fn check_settings(config: &Config, port: &Link, bridge: &Link) -> Result<()> {
    let settings = [
        ("hairpinMode", config.port.hairpin, port.port.hairpin, port),
        ("portIsolation", config.port.isolated, port.port.isolated, port),
        ("promiscMode", config.promiscuous, bridge.promiscuous, bridge),
    ];
    match settings.into_iter().find(|(_, wanted, found, _)| *wanted && !found) {
        None => Ok(()),
        Some((key, _, _, link)) => {
            differs(format_args!("{key} is true, but it is off for {:?} on the host", link.name))
        }
    }
}

/// Checks that the bridge, or its interface in a VLAN, has the gateways' addresses.
fn check_gateways(present: &[LinkAddress], interface: &Link, expected: &Expected<'_>) -> Result<()> {
    for ip in &expected.ips {
        let Some(gateway) = ip.gateway.filter(|gateway| !gateway.is_unspecified()) else { continue };
        let is_there = present.iter().any(|address| {
            address.network.ip() == gateway && address.network.prefix() == ip.address.prefix()
        });
        if !is_there {
            let address = IpNetwork::new(gateway, ip.address.prefix()).unwrap_or_else(|_| gateway.into());
            return differs(format_args!("gateway address {address} is gone from {:?}", interface.name));
        }
    }
    Ok(())
}
