//! CHECK of an attachment in a VLAN.

use attachment::{Result, differs};
use linux::{Link, Rtnetlink};

use crate::check::not_a_port;
use crate::vlan::Vlans;
use crate::vlan_gateway;

/// Checks that the bridge filters by VLANs, that the port carries its VLANs, and that the gateway's interface is in its
/// VLAN. Returns the gateway's interface, where that is not the bridge itself.
pub(crate) fn check_vlans(
    host: &mut Rtnetlink,
    vlans: &Vlans,
    bridge: &Link,
    host_end: &Link,
    has_gateway: bool,
) -> Result<Option<Link>> {
    if !bridge.vlans.filtering {
        return differs(format_args!(
            "bridge {:?} does not filter by VLANs (vlan_filtering is 0): its ports are not kept apart",
            bridge.name
        ));
    }
    check_port_vlans(host, vlans, host_end)?;
    let Some(gateway) = vlans.gateway(&bridge.name).filter(|_| has_gateway) else { return Ok(None) };
    let Some(link) = host.link_by_name(&gateway.name)? else {
        return differs(format_args!("{:?}, the gateway's interface, does not exist any more", gateway.name));
    };
    if !link.up {
        return differs(format_args!("{:?} on the host is down", link.name));
    }
    // A link of another kind is an administrator's.
    if link.is("veth") {
        let port = vlan_gateway::port(host, &link)?.filter(|port| port.master == Some(bridge.index));
        let Some(port) = port else { return not_a_port(&link, bridge) };
        check_port_vlans(host, &gateway.port, &port)?;
    }
    Ok(Some(link))
}

fn check_port_vlans(host: &mut Rtnetlink, vlans: &Vlans, port: &Link) -> Result<()> {
    let present = host.port_vlans(port.index)?;
    let Some(missing) = vlans.missing_from(&present) else { return Ok(()) };
    let (first, last) = (missing.vids.start(), missing.vids.end());
    let vids = if first == last { first.to_string() } else { format!("{first}-{last}") };
    let role = if missing.untagged { "without a tag" } else { "with a tag" };
    differs(format_args!("bridge port {:?} does not carry VLAN {vids} {role}", port.name))
}
