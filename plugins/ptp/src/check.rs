//! CHECK: everything that ADD made is still there.

use attachment::{Expected, Owner, Result, differs, host_end_of, of_namespace};
use cni::Request;
use linux::{Link, Namespace, Rtnetlink};

use crate::settings;

pub(crate) fn check(request: &Request) -> Result<()> {
    let settings = settings(request)?;
    let expected = Expected::of(request)?;
    if let Some(ipam) = &settings.ipam {
        request.delegate(ipam)?.check()?;
    }
    let mut host = Rtnetlink::open()?;
    let namespace = Namespace::open(expected.netns).map_err(of_namespace)?;
    let mut pod = namespace.rtnetlink().map_err(of_namespace)?;

    let interface = expected.check_pod_end(&mut pod, true)?;
    let (host_end, owner) = match host_end_of(&mut host, &interface, &namespace, &request.attachment())? {
        Some((_, Owner::Other(_))) | None => {
            return differs(format_args!("the host's end of {:?} is gone", interface.name));
        }
        Some((link, _)) if !link.up => {
            return differs(format_args!("{:?} on the host is down", link.name));
        }
        Some(found) => found,
    };
    expected.check_addresses(&mut pod, &interface)?;
    expected.check_routes(&mut pod)?;
    check_host(&mut host, &host_end, &expected)?;
    // The maker of the pair made its masquerading: without weir's alias that is the reference.
    match settings.ip_masq && owner == Owner::This {
        true => expected.check_masquerade(request),
        false => Ok(()),
    }
}

/// Checks that the host's end has the gateways' addresses, and that the host sends to the pod by it.
fn check_host(host: &mut Rtnetlink, host_end: &Link, expected: &Expected<'_>) -> Result<()> {
    let present = host.addresses(host_end.index)?;
    for ip in &expected.ips {
        let gateway = ip.gateway.filter(|gateway| !gateway.is_unspecified());
        if let Some(gateway) = gateway.filter(|gateway| present.iter().all(|it| it.network.ip() != *gateway))
        {
            return differs(format_args!("gateway address {gateway} is gone from {:?}", host_end.name));
        }
        let route = host.route_to(ip.address.ip())?;
        if route.is_none_or(|(_, interface)| interface != host_end.index) {
            let (address, name) = (ip.address.ip(), &host_end.name);
            return differs(format_args!("the host's route to {address} by {name:?} is gone"));
        }
    }
    Ok(())
}
