//! ADD: the bridge, its port, and the gateways' addresses.

use attachment::{Addition, Addressing, Error, Result};
use cni::{AddResult, Answer, Request};
use linux::Link;
use nft::Nftables;

use crate::config::Config;
use crate::del;
use crate::device::{self, GatewayPlan};
use crate::spoof_check;
use crate::vlan_gateway;

pub(crate) fn add(request: &Request) -> Answer<AddResult> {
    let config = Config::read(request)?;
    let mut addition = Addition::begin(request, &config.settings, del::del)?;
    let bridge = device::find(&mut addition.host, &config.bridge)?;
    let outcome = attach(&mut addition, &config, bridge);
    if outcome.is_err() {
        addition.undo(|host_end| match host_end {
            Some(port) if config.macspoofchk => Ok(spoof_check::remove(
                &mut Nftables::open().map_err(Error::from)?,
                request,
                Some(&port.name),
            )?),
            _ => Ok(()),
        });
    }
    Ok(outcome?)
}

/// Attaches the pod. The gateways' addresses come last: no later step can fail and leave the bridge with an address for
/// which no pod was attached.
///
/// The bridge stays when this ADD created it and fails: it belongs to the network, as with the reference. Another ADD
/// may be about to add its port, and the kernel has no request that deletes a bridge only if it has no ports.
fn attach(addition: &mut Addition<'_>, config: &Config, bridge: Option<Link>) -> Result<AddResult> {
    let early = addition.assigned_early()?;
    let bridge = device::ensure(&mut addition.host, config, bridge)?;
    let prepared = match &early {
        Some((addressing, _)) => Some(prepare(addition, config, &bridge, addressing)?),
        None => None,
    };
    let host_end = addition.create_pair(Some(bridge.index), early.as_ref()).map_err(|error| match error {
        Error::Kernel(error) if error.is_full() => device::full(&bridge).into(),
        error => error,
    })?;
    connect(addition, config, &host_end, &bridge)?;
    let assigned = addition.assigned(early)?;
    let (addressing, _) = &assigned;
    let (vlan_gateway, plan) = prepared.map_or_else(|| prepare(addition, config, &bridge, addressing), Ok)?;
    if !config.disable_container_interface {
        addition.configure(addressing, |_| Vec::new())?;
    }
    addition.masquerade(addressing)?;
    if !config.disable_container_interface {
        addition.wait_for_host_end()?;
    }
    addition.enable_forwarding(addressing)?;
    plan.carry_out(&mut addition.host, vlan_gateway.as_ref().unwrap_or(&bridge))?;
    addition.finish(assigned, Some(bridge), vlan_gateway)
}

/// Plans the gateways' addresses: on the bridge, or on its interface in a VLAN, which is created if it is missing.
fn prepare(
    addition: &mut Addition<'_>,
    config: &Config,
    bridge: &Link,
    addressing: &Addressing,
) -> Result<(Option<Link>, GatewayPlan)> {
    let (host, gateways) = (&mut addition.host, &addressing.gateways);
    let gateway = config.vlans.as_ref().and_then(|vlans| vlans.gateway(&bridge.name));
    let vlan_gateway = match gateway.filter(|_| !gateways.is_empty()) {
        Some(gateway) => Some(vlan_gateway::ensure(host, &gateway, bridge, &addition.request.network)?),
        None => None,
    };
    let interface = vlan_gateway.as_ref().unwrap_or(bridge);
    let plan = GatewayPlan::new(host, interface, gateways, config.force_address)?;
    Ok((vlan_gateway, plan))
}

/// Brings the host's end up as a port of the bridge.
fn connect(addition: &mut Addition<'_>, config: &Config, host_end: &Link, bridge: &Link) -> Result<()> {
    let request = addition.request;
    if config.macspoofchk {
        spoof_check::install(request, host_end, addition.pod_mac)?;
    }
    addition.host.raise_port(host_end, &request.attachment().to_string(), config.port)?;
    match &config.vlans {
        Some(vlans) => vlans.carry(&mut addition.host, host_end.index, bridge),
        None => Ok(()),
    }
}
