//! The plugin's keys, and which of the addresses that they name are assigned.

use std::net::IpAddr;

use cni::{AddResult, Answer, Cidr, Dns, Failure, IpConfig, Request, Route};
use ipnetwork::IpNetwork;
use serde::Deserialize;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    ipam: Option<Ipam>,
    runtime_config: Requested,
    args: Args,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ipam {
    addresses: Vec<Address>,
    routes: Vec<Route>,
    dns: Dns,
}

/// Not read into addresses before it is known that they count: a template may leave them empty for the runtime's.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Address {
    address: String,
    gateway: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Args {
    cni: Requested,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Requested {
    ips: Vec<String>,
}

/// Returns what ADD answers. The addresses are those of the capability `ips` (`runtimeConfig.ips`); without any there,
/// those of `args.cni.ips`; without any there, those of `ipam.addresses` and then those of `IP` in `CNI_ARGS`. There
/// may be none: the plugin that called needs one or not.
///
/// # Errors
/// Code 7 with the first key whose value is not allowed.
pub(crate) fn assigned(request: &Request) -> Answer<AddResult> {
    let keys: Keys = request.config()?;
    let ipam = keys.ipam.ok_or_else(Failure::no_ipam)?;
    let ips = if !keys.runtime_config.ips.is_empty() {
        listed("runtimeConfig.ips", &keys.runtime_config.ips)?
    } else if !keys.args.cni.ips.is_empty() {
        listed("args.cni.ips", &keys.args.cni.ips)?
    } else {
        let mut ips = configured(&ipam.addresses)?;
        ips.extend(of_environment(request)?);
        ips
    };
    request.version.check_room(ips.iter().map(|ip| ip.address.is_ipv4()))?;
    Ok(AddResult { ips, routes: ipam.routes, dns: ipam.dns, ..AddResult::default() })
}

/// The addresses of a list that has no gateways.
fn listed(key: &str, texts: &[String]) -> Answer<Vec<IpConfig>> {
    let texts = texts.iter().enumerate();
    texts.map(|(index, text)| ip(&format!("{key}[{index}]"), text)).collect()
}

/// `ipam.addresses`. A gateway need not be in the subnet.
fn configured(addresses: &[Address]) -> Answer<Vec<IpConfig>> {
    let named = addresses.iter().enumerate().map(|(index, address)| {
        let key = format!("ipam.addresses[{index}]");
        let mut ip = ip(&format!("{key}.address"), &address.address)?;
        if !address.gateway.trim().is_empty() {
            ip.gateway = Some(gateway(&format!("{key}.gateway"), &address.gateway)?);
        }
        Ok(ip)
    });
    named.collect()
}

/// `IP` and `GATEWAY` of `CNI_ARGS`, each with commas between several. A gateway goes to each of these addresses whose
/// subnet it is in.
fn of_environment(request: &Request) -> Answer<Vec<IpConfig>> {
    let arguments = &request.environment.arguments;
    let texts = |key| Ok::<_, Failure>(arguments.get(key)?.into_iter().flat_map(|text| text.split(',')));
    let mut ips = texts("IP")?.map(|text| ip("CNI_ARGS: IP", text)).collect::<Answer<Vec<_>>>()?;
    for text in texts("GATEWAY")? {
        let gateway = gateway("CNI_ARGS: GATEWAY", text)?;
        for ip in ips.iter_mut().filter(|ip| ip.address.contains(gateway)) {
            ip.gateway = Some(gateway);
        }
    }
    Ok(ips)
}

/// An address with its prefix length. An IPv4 address in IPv6 notation is the IPv4 address.
fn ip(key: &str, text: &str) -> Answer<IpConfig> {
    let refused = |problem: &dyn std::fmt::Display| {
        Failure::invalid_key(key, format_args!("invalid address {text:?}: {problem}"))
    };
    let Cidr(given) = text.trim().parse().map_err(|error| refused(&error))?;
    let address = match (given.ip().to_canonical(), given.prefix()) {
        (address @ IpAddr::V4(_), prefix) if given.is_ipv6() => prefix
            .checked_sub(96)
            .and_then(|prefix| IpNetwork::new(address, prefix).ok())
            .ok_or_else(|| refused(&"an IPv4 address in IPv6 notation has a prefix length of 96 to 128"))?,
        _ => given,
    };
    Ok(IpConfig { interface: None, address, gateway: None })
}

fn gateway(key: &str, text: &str) -> Answer<IpAddr> {
    let refused = |_| Failure::invalid_value(key, format_args!("{text:?}"), "an IP address");
    text.trim().parse().map(|address: IpAddr| address.to_canonical()).map_err(refused)
}
