//! The gateway's interface in a VLAN: one end of a pair with the other end as a port of the bridge.
//!
//! It belongs to the network, as the bridge does: several ADDs may create it at once, and no DEL removes it.

use attachment::Result;
use cni::{Failure, code};
use linux::{
    Attempts, BridgePort, Change, Link, Mac, Namespace, NewLink, NewLinkKind, Rtnetlink, VethPeer, sysctl,
};

use crate::device;
use crate::vlan::VlanGateway;

const OWN_NAMESPACE: &str = "/proc/thread-self/ns/net";

/// Returns the interface, up and in its VLAN. Creates it if it is missing, and anew if its bridge was deleted.
///
/// An 802.1Q device of that name on the bridge, which only an administrator creates, is used as it is.
pub(crate) fn ensure(
    host: &mut Rtnetlink,
    gateway: &VlanGateway,
    bridge: &Link,
    network: &str,
) -> Result<Link> {
    for () in Attempts::default() {
        let Some(link) = host.link_by_name(&gateway.name)? else {
            create(host, gateway, bridge)?;
            continue;
        };
        if link.is("vlan") && link.peer == Some(bridge.index) {
            return Ok(link);
        }
        match port(host, &link)? {
            Some(port) if port.master == Some(bridge.index) => {
                // After a failure it stays: another ADD may use it already, and the next one completes it.
                return complete(host, gateway, bridge, network, &link, &port).map(|()| link);
            }
            Some(port) if port.master.is_none() && is_named_by(gateway, bridge, &link) => {
                host.delete_link(link.index)?;
            }
            // Another ADD has just deleted the pair, after its bridge was deleted.
            None if host.link_by_index(link.index)?.is_none() => {}
            _ => {
                let sentence = format!(
                    "{:?} already exists but does not lead into VLAN {} of bridge {:?} (it is {}); rename it, or choose \
                     another bridge",
                    link.name,
                    gateway.vlan,
                    bridge.name,
                    link.kind.as_deref().unwrap_or("a physical or special device")
                );
                return Err(Failure::new(code::INTERNAL, sentence).into());
            }
        }
    }
    let sentence = format!(
        "{:?}, the gateway's interface, was made and deleted by others again and again for seconds",
        gateway.name
    );
    Err(Failure::new(code::INTERNAL, sentence).into())
}

/// Returns the other end of the pair, which is a port of the bridge.
pub(crate) fn port(host: &mut Rtnetlink, link: &Link) -> Result<Option<Link>> {
    if !link.is("veth") {
        return Ok(None);
    }
    let other = host.local_peer(link, &Namespace::open(OWN_NAMESPACE)?)?;
    Ok(other.filter(|other| other.is("veth")))
}

/// Creates the pair with permanent hardware addresses. A name that is taken is not an error: another ADD may have been
/// faster.
fn create(host: &mut Rtnetlink, gateway: &VlanGateway, bridge: &Link) -> Result<()> {
    let port_mac = Mac::random();
    let [.., a, b, c, d] = port_mac.0;
    let name = format!("veth{a:02x}{b:02x}{c:02x}{d:02x}");
    let peer = VethPeer { name: &gateway.name, mac: Some(Mac::random()), namespace: None };
    // Not unfinished: another ADD completes what a killed one left.
    let pair = NewLink {
        mac: Some(port_mac),
        mtu: Some(bridge.mtu),
        master: Some(bridge.index),
        ..NewLink::new(&name, NewLinkKind::Veth(peer))
    };
    match host.create(&pair) {
        Ok(_) => Ok(()),
        Err(error) if error.is_taken() => Ok(()),
        Err(error) if error.is_full() => Err(device::full(bridge).into()),
        Err(error) => Err(error.into()),
    }
}

/// Completes the pair and writes the alias last. Without an alias, the ADD that created the pair has not ended or was
/// killed, or the reference created it. Every step may be repeated.
fn complete(
    host: &mut Rtnetlink,
    gateway: &VlanGateway,
    bridge: &Link,
    network: &str,
    link: &Link,
    port: &Link,
) -> Result<()> {
    if link.up && link.alias.is_some() {
        return Ok(());
    }
    gateway.port.carry(host, port.index, bridge)?;
    // Router advertisements of pods must not become routes of the host.
    sysctl::prefer(&format!("net/ipv6/conf/{}/accept_ra", gateway.name), "0");
    let alias = format!("{}network={network}", identity(gateway, bridge));
    host.raise_port(port, &alias, BridgePort::default())?;
    host.apply(&[Change::set_up(link.index)])?;
    Ok(host.apply(&[Change::set_alias(link.index, &alias)])?)
}

/// Returns the beginning of the alias, which is the same for every network of this bridge and VLAN.
fn identity(gateway: &VlanGateway, bridge: &Link) -> String {
    format!("weir gateway bridge={} vlan={} ", bridge.name, gateway.vlan)
}

fn is_named_by(gateway: &VlanGateway, bridge: &Link, link: &Link) -> bool {
    link.alias.as_ref().is_some_and(|alias| alias.starts_with(&identity(gateway, bridge)))
}
