//! CHECK of an attachment in a VLAN.

use linux::{Link, Rtnetlink};

use crate::check::differs;
use crate::error::{Difference, Result};
use crate::vlan::Vlans;
use crate::vlan_gateway;

/// The bridge filters, the port carries its VLANs, and the gateway's interface is in its own. Returns the
/// gateway's interface, where it is another than the bridge.
pub(crate) fn check_vlans(
    host: &mut Rtnetlink,
    vlans: &Vlans,
    bridge: &Link,
    host_end: &Link,
    has_gateway: bool,
) -> Result<Option<Link>> {
    if !bridge.vlans.filtering {
        return differs(Difference::NotFiltering(bridge.name.clone()));
    }
    check_port_vlans(host, vlans, host_end)?;
    let Some(gateway) = vlans.gateway(&bridge.name).filter(|_| has_gateway) else { return Ok(None) };
    let Some(link) = host.link_by_name(&gateway.name)? else {
        return differs(Difference::VlanGatewayGone(gateway.name));
    };
    if !link.up {
        return differs(Difference::HostLinkDown(link.name));
    }
    // What is no veth is an administrator's.
    if link.is("veth") {
        let port = vlan_gateway::port(host, &link)?.filter(|port| port.master == Some(bridge.index));
        let Some(port) = port else {
            return differs(Difference::NotAPort { interface: link.name, bridge: bridge.name.clone() });
        };
        check_port_vlans(host, &gateway.port, &port)?;
    }
    Ok(Some(link))
}

fn check_port_vlans(host: &mut Rtnetlink, vlans: &Vlans, port: &Link) -> Result<()> {
    match vlans.missing_from(&host.port_vlans(port.index)?) {
        None => Ok(()),
        Some(missing) => differs(Difference::Vlan {
            port: port.name.clone(),
            vids: match (missing.vids.start(), missing.vids.end()) {
                (first, last) if first == last => first.to_string(),
                (first, last) => format!("{first}-{last}"),
            },
            role: if missing.untagged { "without a tag" } else { "with a tag" },
        }),
    }
}
