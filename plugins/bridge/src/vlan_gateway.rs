//! The gateway's interface in a VLAN: one end of a pair whose other end is a port of the bridge.
//!
//! It belongs to the network as the bridge does: several ADDs may make it at once, and no DEL removes it.

use linux::{Link, Mac, Namespace, Rtnetlink, VethPair, sysctl};

use crate::error::{Error, Result};
use crate::host_end::CANDIDATES;
use crate::vlan::VlanGateway;

const OWN_NAMESPACE: &str = "/proc/thread-self/ns/net";

/// The interface, up and in its VLAN; made when it is missing.
///
/// Its alias is written last. While it has none, an ADD that made it is not done or was killed, or the
/// reference made it: whoever finds it so does the rest, which may be done twice.
///
/// An 802.1Q device of that name on the bridge, which only an administrator makes, is taken as it is.
pub(crate) fn ensure(
    host: &mut Rtnetlink,
    gateway: &VlanGateway,
    bridge: &Link,
    network: &str,
) -> Result<Link> {
    let mut made = None;
    for _ in 0..CANDIDATES {
        if let Some(link) = host.link_by_name(&gateway.name)? {
            let outcome = complete(host, gateway, bridge, network, link);
            if let (Err(_), Some(port)) = (&outcome, made) {
                // The first error is the one to tell.
                let _ = host.delete_link(port);
            }
            return outcome;
        }
        made = create(host, gateway, bridge)?;
    }
    Err(Error::VlanGatewayUnsettled { name: gateway.name.clone(), attempts: CANDIDATES })
}

/// Makes the pair with addresses of its own, which stay, and returns the index of the bridge's port; `None`
/// when one of the names is taken, be it by another ADD a moment ago.
fn create(host: &mut Rtnetlink, gateway: &VlanGateway, bridge: &Link) -> Result<Option<u32>> {
    let port_mac = Mac::random()?;
    let [.., a, b, c, d] = port_mac.0;
    let pair = VethPair {
        host_name: &format!("veth{a:02x}{b:02x}{c:02x}{d:02x}"),
        host_mac: port_mac,
        pod_name: &gateway.name,
        pod_mac: Mac::random()?,
        mtu: Some(bridge.mtu),
        bridge: bridge.index,
    };
    match host.create_veth(&pair, &Namespace::open(OWN_NAMESPACE)?) {
        Ok(port) => Ok(Some(port.index)),
        Err(error) if error.is_taken() => Ok(None),
        Err(error) if error.is_full() => Err(Error::BridgeFull { bridge: bridge.name.clone() }),
        Err(error) => Err(error.into()),
    }
}

fn complete(
    host: &mut Rtnetlink,
    gateway: &VlanGateway,
    bridge: &Link,
    network: &str,
    link: Link,
) -> Result<Link> {
    let is_done = link.is("veth") && link.up && link.alias.is_some();
    if is_done || link.is("vlan") && link.peer == Some(bridge.index) {
        return Ok(link);
    }
    let port = link.peer.filter(|_| link.is("veth")).map(|peer| host.link_by_index(peer)).transpose()?;
    let Some(port) = port.flatten().filter(|port| port.master == Some(bridge.index)) else {
        return Err(Error::NotAVlanGateway {
            name: link.name,
            vlan: gateway.vlan,
            bridge: bridge.name.clone(),
            kind: link.kind.unwrap_or_else(|| "a physical or special device".to_owned()),
        });
    };
    gateway.port.carry(host, port.index, bridge)?;
    // What pods announce must not become a route of the host.
    sysctl::prefer(&format!("net/ipv6/conf/{}/accept_ra", gateway.name), "0");
    host.set_up(link.index)?;
    let alias = format!("weir gateway bridge={} vlan={} network={network}", bridge.name, gateway.vlan);
    host.set_alias(port.index, &alias)?;
    host.set_alias(link.index, &alias)?;
    Ok(link)
}
