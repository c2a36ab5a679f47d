//! The bridge: created if it is missing, with the gateways' addresses.

use attachment::{Result, SMALLEST_MTU_OF_IPV6};
use cni::{Failure, code};
use ipnetwork::IpNetwork;
use linux::{Change, DuplicateDetection, Link, Mac, NewLink, NewLinkKind, Rtnetlink, sysctl};

use crate::config::Config;

/// Returns the bridge, if it exists.
///
/// # Errors
/// When a link of another kind has its name, and the kernel's refusal.
pub(crate) fn find(host: &mut Rtnetlink, name: &str) -> Result<Option<Link>> {
    match host.link_by_name(name)? {
        Some(link) if !link.is("bridge") => {
            let kind = link.kind.as_deref().unwrap_or("a physical or special device");
            let problem = format_args!(
                "{name:?} already exists but is not a bridge (it is {kind}); choose another name"
            );
            Err(Failure::invalid_key("bridge", problem).into())
        }
        link => Ok(link),
    }
}

/// Returns the bridge, up, with the settings of the config. Creates it if `found` is none.
///
/// A new bridge gets an address of its own: without one it takes that of its lowest port, and every pod loses its
/// gateway for the time of an ARP cache entry when that port goes.
pub(crate) fn ensure(host: &mut Rtnetlink, config: &Config, found: Option<Link>) -> Result<Link> {
    let filters = config.vlans.is_some();
    let bridge = match found {
        Some(bridge) => bridge,
        None => match host.create(&new_bridge(config)) {
            Ok(bridge) => {
                // Router advertisements of pods must not become routes of the host.
                sysctl::prefer(&format!("net/ipv6/conf/{}/accept_ra", config.bridge), "0");
                bridge
            }
            // Another ADD made it a moment ago.
            Err(error) if error.is_taken() => find(host, &config.bridge)?.ok_or(error)?,
            Err(error) => return Err(error.into()),
        },
    };
    if filters && !bridge.vlans.filtering {
        host.enable_vlan_filtering(bridge.index)?;
        cni::note(format_args!("bridge: {:?} filters by VLANs from now on, as the config asks", bridge.name));
    }
    if !bridge.up {
        host.apply(&[Change::set_up(bridge.index)])?;
    }
    if config.promiscuous {
        host.apply(&[Change::set_promiscuous(bridge.index, true)])?;
    }
    Ok(bridge)
}

fn new_bridge(config: &Config) -> NewLink<'_> {
    let kind = NewLinkKind::Bridge { vlan_filtering: config.vlans.is_some() };
    NewLink {
        mac: Some(Mac::random()),
        mtu: config.settings.mtu,
        up: true,
        ..NewLink::new(&config.bridge, kind)
    }
}

/// Returns the failure of a bridge without a free port.
pub(crate) fn full(bridge: &Link) -> Failure {
    let sentence = format!(
        "bridge: {:?} has no free port (the kernel allows 1023 on one bridge); use another bridge for more pods",
        bridge.name
    );
    Failure::new(code::INTERNAL, sentence)
}

/// The changes that give the bridge, or its interface in a VLAN, the gateways' addresses.
#[derive(Debug, Default)]
pub(crate) struct GatewayPlan {
    missing: Vec<IpNetwork>,
    replaced: Vec<IpNetwork>,
}

impl GatewayPlan {
    /// Compares the gateways' addresses with those that are there. A bridge has one IPv4 address, and any number of
    /// IPv6 addresses of subnets that do not overlap. Another address is replaced with `force`, and an error without.
    ///
    /// # Errors
    /// When the bridge has another address, or an MTU too small for IPv6, and the kernel's refusal.
    pub fn new(host: &mut Rtnetlink, bridge: &Link, gateways: &[IpNetwork], force: bool) -> Result<Self> {
        let mut plan = Self::default();
        if gateways.is_empty() {
            return Ok(plan);
        }
        let present: Vec<_> =
            host.addresses(bridge.index)?.into_iter().map(|address| address.network).collect();
        for wanted in gateways.iter().filter(|wanted| !present.contains(wanted)) {
            for found in
                present.iter().filter(|found| !gateways.contains(found) && excludes(**found, *wanted))
            {
                if !force {
                    let sentence = format!(
                        "{:?} already has an IP address different from {wanted}: {found}; remove it or set forceAddress",
                        bridge.name
                    );
                    return Err(Failure::new(code::INTERNAL, sentence).into());
                }
                plan.replaced.push(*found);
            }
            if wanted.is_ipv6() && bridge.mtu < SMALLEST_MTU_OF_IPV6 {
                let sentence = format!(
                    "bridge: {:?} has an MTU of {}, and IPv6 needs {SMALLEST_MTU_OF_IPV6} (RFC 8200, section 5): it \
                     cannot have the gateway's address {wanted}; raise its MTU, or that of the port which has the least",
                    bridge.name, bridge.mtu
                );
                return Err(Failure::new(code::INTERNAL, sentence).into());
            }
            note_overlap(host, bridge, *wanted);
            plan.missing.push(*wanted);
        }
        Ok(plan)
    }

    /// Carries the plan out. When the kernel refuses an address, those that this call added are removed again (another
    /// ADD of the network meets the same refusal), and those that were replaced are put back: attached pods use them.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn carry_out(self, host: &mut Rtnetlink, bridge: &Link) -> Result<()> {
        let mut added = Vec::new();
        let outcome = self.replace(host, bridge.index, &mut added);
        if outcome.is_err() {
            // The first error is the one to report.
            for address in added {
                let _ = host.delete_address(bridge.index, address);
            }
            for address in self.replaced {
                let _ = host.add_address(bridge.index, address, DuplicateDetection::Skip);
            }
        } else if !added.is_empty() {
            pin_mac(host, bridge)?;
        }
        outcome
    }

    fn replace(&self, host: &mut Rtnetlink, bridge: u32, added: &mut Vec<IpNetwork>) -> Result<()> {
        for found in &self.replaced {
            host.delete_address(bridge, *found)?;
        }
        for wanted in &self.missing {
            match host.add_address(bridge, *wanted, DuplicateDetection::Skip) {
                Ok(true) => added.push(*wanted),
                Ok(false) => {}
                Err(refused) if refused.errno().is_some() => return Err(refused.into()),
                Err(error) => {
                    // The answer was lost. If the address was added, other ADDs may rely on it already.
                    added.push(*wanted);
                    let present = host.addresses(bridge)?;
                    if !present.iter().any(|address| address.network == *wanted) {
                        return Err(error.into());
                    }
                }
            }
        }
        Ok(())
    }
}

/// Notes that the node reaches the gateway's subnet, or a part of it, by another interface already, where packets to
/// the pods may go then. A wider subnet around it is common and does no harm.
fn note_overlap(host: &mut Rtnetlink, bridge: &Link, gateway: IpNetwork) {
    // A failure here is not one of ADD.
    let Ok(Some((found, interface))) = host.route_to(gateway.ip()) else { return };
    if found.prefix() < gateway.prefix() || interface == bridge.index {
        return;
    }
    let Ok(Some(other)) = host.link_by_index(interface) else { return };
    cni::note(format_args!(
        "bridge: subnet {}/{} of {:?} overlaps with {found} on {:?}: what this node sends to these addresses reaches only one of the two",
        gateway.network(),
        gateway.prefix(),
        bridge.name,
        other.name,
    ));
}

/// Returns whether a bridge cannot have both addresses.
fn excludes(found: IpNetwork, wanted: IpNetwork) -> bool {
    match (found, wanted) {
        (IpNetwork::V4(_), IpNetwork::V4(_)) => true,
        (IpNetwork::V6(_), IpNetwork::V6(_)) => found.contains(wanted.ip()) || wanted.contains(found.ip()),
        _ => false,
    }
}

/// Sets a bridge's address to the one that it has. That makes the address permanent: a bridge of another maker may
/// still take those of its ports.
fn pin_mac(host: &mut Rtnetlink, bridge: &Link) -> Result<()> {
    let mac = bridge.mac.filter(|mac| !mac.is_zero()).unwrap_or_else(Mac::random);
    Ok(host.apply(&[Change::set_mac(bridge.index, mac)])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_has_one_ipv4_address_and_many_disjoint_ipv6_ones() {
        let excludes = |found: &str, wanted: &str| excludes(found.parse().unwrap(), wanted.parse().unwrap());
        assert!(excludes("10.1.0.1/24", "10.2.0.1/24"));
        assert!(excludes("2001:db8::1/64", "2001:db8::2/64"));
        assert!(!excludes("2001:db8:1::1/64", "2001:db8:2::1/64"));
        assert!(!excludes("fe80::1/64", "2001:db8::1/64"));
        assert!(!excludes("10.1.0.1/24", "2001:db8::1/64"));
    }
}
