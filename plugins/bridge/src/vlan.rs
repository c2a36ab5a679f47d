//! The keys `vlan`, `vlanTrunk` and `preserveDefaultVlan`: the VLANs that a port carries.

use attachment::Result;
use cni::Failure;
use linux::{InterfaceName, Link, PortVlans, Rtnetlink};
use serde::Deserialize;

const SMALLEST: u16 = 1;
/// 4095 is reserved (IEEE 802.1Q, table 9-2).
const LARGEST: u16 = 4094;
/// The default VLAN of a trunk's frames without a tag.
const TRUNK_NATIVE: u16 = 1;

/// An entry of `vlanTrunk`: a range, a single VLAN, or both.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TrunkEntry {
    #[serde(rename = "minID")]
    min_id: Option<i64>,
    #[serde(rename = "maxID")]
    max_id: Option<i64>,
    id: Option<i64>,
}

/// The VLANs of an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vlans {
    /// The key `vlan`.
    vlan: Option<u16>,
    /// The VLANs that the port carries.
    port: Vec<PortVlans>,
    /// The port keeps the VLAN that the bridge gives to every port.
    preserves_default: bool,
}

/// The gateway's interface in a VLAN.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct VlanGateway {
    /// `BRIDGE.VLAN`, as the reference names it.
    pub name: String,
    /// Its VLAN.
    pub vlan: u16,
    /// The VLANs that its port of the bridge carries.
    pub port: Vlans,
}

impl Vlans {
    /// Reads the keys. Without a VLAN there is nothing to filter, and `None` is returned.
    ///
    /// Frames without a tag belong to `vlan`. A trunk without `vlan` takes them into VLAN 1, unless it keeps
    /// the bridge's default for that. A VLAN that is named by both keys is the one without a tag.
    pub fn new(vlan: i64, trunk: &[TrunkEntry], preserves_default: bool) -> Result<Option<Self>> {
        let vlan = match vlan {
            0 => None,
            vlan => Some(vid("vlan".to_owned(), vlan, 0)?),
        };
        let mut ranges = Vec::new();
        for (position, entry) in trunk.iter().enumerate() {
            entry.collect(position, &mut ranges)?;
        }
        if vlan.is_none() && ranges.is_empty() {
            return Ok(None);
        }
        let trunk_has = |vid| ranges.iter().any(|(first, last)| (*first..=*last).contains(&vid));
        let native = vlan.or((!preserves_default && !trunk_has(TRUNK_NATIVE)).then_some(TRUNK_NATIVE));
        let tagged = merged(ranges).into_iter().flat_map(|range| without(range, vlan));
        let tagged = tagged.map(|(first, last)| PortVlans::tagged(first..=last));
        let port = native.map(PortVlans::native).into_iter().chain(tagged).collect();
        Ok(Some(Self { vlan, port, preserves_default }))
    }

    /// Returns the gateway's interface; none without the key `vlan`, where the bridge itself has the addresses.
    pub fn gateway(&self, bridge: &str) -> Option<VlanGateway> {
        self.vlan.map(|vlan| VlanGateway {
            name: format!("{bridge}.{vlan}"),
            vlan,
            port: Self {
                vlan: Some(vlan),
                port: vec![PortVlans::native(vlan)],
                preserves_default: self.preserves_default,
            },
        })
    }

    /// Checks that the name of the gateway's interface is not too long.
    pub fn check_gateway(&self, bridge: &str) -> Result<()> {
        match self.gateway(bridge) {
            Some(VlanGateway { name, vlan, .. }) if name.len() > InterfaceName::MAX_LEN => {
                let problem = format_args!(
                    "{bridge:?} is too long for a gateway in VLAN {vlan}: its interface would be {name:?}, and the \
                     kernel allows {} bytes",
                    InterfaceName::MAX_LEN
                );
                Err(Failure::invalid_key("bridge", problem).into())
            }
            _ => Ok(()),
        }
    }

    /// Adds these VLANs to a port of `bridge`, and removes the bridge's default VLAN from it unless that is to be
    /// preserved. May be repeated.
    pub fn carry(&self, host: &mut Rtnetlink, port: u32, bridge: &Link) -> Result<()> {
        host.add_port_vlans(port, &self.port)?;
        if let Some(default) = self.unwanted(bridge.vlans.default) {
            host.delete_port_vlans(port, &[PortVlans::tagged(default..=default)])?;
        }
        Ok(())
    }

    /// Returns the bridge's default VLAN, if the port is not to carry it.
    fn unwanted(&self, default: Option<u16>) -> Option<u16> {
        let is_wanted =
            |vid| self.preserves_default || self.port.iter().any(|vlans| vlans.vids.contains(&vid));
        default.filter(|vid| !is_wanted(*vid))
    }

    /// Returns the first VLANs that a port which carries those `present` lacks. Others are ignored: an administrator
    /// may have added them.
    pub fn missing_from(&self, present: &[PortVlans]) -> Option<&PortVlans> {
        let is_there = |wanted: &PortVlans, vid: u16| {
            present.iter().any(|found| {
                found.vids.contains(&vid) && found.pvid == wanted.pvid && found.untagged == wanted.untagged
            })
        };
        self.port.iter().find(|wanted| !wanted.vids.clone().all(|vid| is_there(wanted, vid)))
    }
}

impl TrunkEntry {
    fn collect(&self, position: usize, ranges: &mut Vec<(u16, u16)>) -> Result<()> {
        let trunk = |problem: String| {
            Err(Failure::invalid_key(format_args!("vlanTrunk[{position}]"), problem).into())
        };
        let read = |key: &str, value| vid(format!("vlanTrunk[{position}].{key}"), value, SMALLEST);
        match (self.min_id, self.max_id) {
            (Some(min), Some(max)) => {
                let (first, last) = (read("minID", min)?, read("maxID", max)?);
                if first > last {
                    return trunk(format!("minID {first} is greater than maxID {last}"));
                }
                ranges.push((first, last));
            }
            (Some(min), None) => {
                return trunk(format!("minID is {min} but maxID is missing; a range needs both"));
            }
            (None, Some(max)) => {
                return trunk(format!("maxID is {max} but minID is missing; a range needs both"));
            }
            (None, None) if self.id.is_none() => {
                return trunk("names no VLAN; it needs id, or minID and maxID".to_owned());
            }
            (None, None) => {}
        }
        if let Some(id) = self.id {
            let id = read("id", id)?;
            ranges.push((id, id));
        }
        Ok(())
    }
}

fn vid(key: String, value: i64, smallest: u16) -> Result<u16> {
    match u16::try_from(value) {
        Ok(vid) if (smallest..=LARGEST).contains(&vid) => Ok(vid),
        _ => {
            let allowed = format_args!("between {smallest} and {LARGEST}");
            Err(Failure::invalid_value(key, value, allowed).into())
        }
    }
}

/// Returns the same VLANs in ascending ranges that neither overlap nor touch.
fn merged(mut ranges: Vec<(u16, u16)>) -> Vec<(u16, u16)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::new();
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(former) if first <= former.1 + 1 => former.1 = former.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

/// Returns a range without one VLAN.
fn without((first, last): (u16, u16), vid: Option<u16>) -> impl Iterator<Item = (u16, u16)> {
    let parts = match vid {
        Some(vid) if (first..=last).contains(&vid) => [(first, vid - 1), (vid + 1, last)],
        _ => [(first, last), (1, 0)],
    };
    parts.into_iter().filter(|(first, last)| first <= last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: i64) -> TrunkEntry {
        TrunkEntry { id: Some(id), ..TrunkEntry::default() }
    }

    fn range(min: i64, max: i64) -> TrunkEntry {
        TrunkEntry { min_id: Some(min), max_id: Some(max), id: None }
    }

    /// Returns the VLANs of the port as `bridge vlan show` writes them: `*` for the VLAN of frames without a tag.
    fn port(vlan: i64, trunk: &[TrunkEntry], preserves_default: bool) -> String {
        let vlans = Vlans::new(vlan, trunk, preserves_default).unwrap().unwrap();
        let one = |vlans: &PortVlans| match (vlans.vids.start(), vlans.vids.end()) {
            (first, last) if first == last && vlans.pvid && vlans.untagged => format!("{first}*"),
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        };
        vlans.port.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    fn refusal(vlan: i64, trunk: &[TrunkEntry]) -> String {
        Vlans::new(vlan, trunk, false).unwrap_err().to_string()
    }

    #[test]
    fn without_a_vlan_the_bridge_need_not_filter() {
        assert_eq!(Vlans::new(0, &[], false).unwrap(), None);
        assert_eq!(Vlans::new(0, &[], true).unwrap(), None);
    }

    #[test]
    fn an_access_port_carries_its_vlan_without_a_tag() {
        assert_eq!(port(1, &[], false), "1*");
        assert_eq!(port(4094, &[], true), "4094*");
    }

    #[test]
    fn ranges_that_overlap_or_touch_become_one_and_duplicates_count_once() {
        let trunk =
            [range(20, 30), id(5), range(25, 40), id(41), id(5), range(7, 7), range(43, 44), id(4094)];
        assert_eq!(port(9, &trunk, false), "9* 5 7 20-41 43-44 4094");
        assert_eq!(port(9, &[range(1, 4094), range(2, 3)], false), "9* 1-8 10-4094");
    }

    #[test]
    fn an_entry_may_have_a_range_and_a_single_vlan() {
        let both = TrunkEntry { id: Some(300), ..range(100, 110) };
        assert_eq!(port(9, &[both], false), "9* 100-110 300");
    }

    #[test]
    fn a_vlan_of_both_keys_is_the_one_without_a_tag() {
        assert_eq!(port(100, &[range(100, 110)], false), "100* 101-110");
        assert_eq!(port(110, &[range(100, 110)], false), "110* 100-109");
        assert_eq!(port(105, &[range(100, 110)], false), "105* 100-104 106-110");
        assert_eq!(port(100, &[id(100)], false), "100*");
    }

    #[test]
    fn a_trunk_takes_frames_without_a_tag_into_vlan_1_unless_it_keeps_the_default_for_them() {
        assert_eq!(port(0, &[id(100)], false), "1* 100");
        assert_eq!(port(0, &[id(100)], true), "100");
        assert_eq!(port(0, &[range(1, 3)], false), "1-3");
    }

    #[test]
    fn a_value_out_of_range_is_named_with_key_and_range() {
        assert_eq!(refusal(-1, &[]), "vlan: -1 is not between 0 and 4094");
        assert_eq!(refusal(4095, &[]), "vlan: 4095 is not between 0 and 4094");
        assert_eq!(refusal(65_637, &[]), "vlan: 65637 is not between 0 and 4094");
        assert_eq!(refusal(0, &[id(7), id(0)]), "vlanTrunk[1].id: 0 is not between 1 and 4094");
        assert_eq!(refusal(0, &[range(0, 9)]), "vlanTrunk[0].minID: 0 is not between 1 and 4094");
        assert_eq!(refusal(0, &[range(9, 4095)]), "vlanTrunk[0].maxID: 4095 is not between 1 and 4094");
    }

    #[test]
    fn a_range_needs_both_ends_in_their_order_and_an_entry_something() {
        let without_max = TrunkEntry { max_id: None, ..range(9, 0) };
        let without_min = TrunkEntry { min_id: None, ..range(0, 9) };
        assert_eq!(
            refusal(0, &[without_max]),
            "vlanTrunk[0]: minID is 9 but maxID is missing; a range needs both"
        );
        assert_eq!(
            refusal(0, &[without_min]),
            "vlanTrunk[0]: maxID is 9 but minID is missing; a range needs both"
        );
        assert_eq!(refusal(0, &[range(9, 8)]), "vlanTrunk[0]: minID 9 is greater than maxID 8");
        assert_eq!(
            refusal(0, &[id(7), TrunkEntry::default()]),
            "vlanTrunk[1]: names no VLAN; it needs id, or minID and maxID"
        );
    }

    #[test]
    fn the_bridges_default_goes_unless_it_is_preserved_or_named() {
        let unwanted = |vlan, trunk: &[TrunkEntry], preserves_default, default| {
            Vlans::new(vlan, trunk, preserves_default).unwrap().unwrap().unwanted(default)
        };
        assert_eq!(unwanted(100, &[], false, Some(1)), Some(1));
        assert_eq!(unwanted(100, &[], false, Some(7)), Some(7));
        assert_eq!(unwanted(100, &[], false, None), None);
        assert_eq!(unwanted(100, &[], true, Some(1)), None);
        assert_eq!(unwanted(1, &[], false, Some(1)), None);
        assert_eq!(unwanted(100, &[range(1, 9)], false, Some(7)), None);
        assert_eq!(unwanted(0, &[id(100)], false, Some(1)), None);
        assert_eq!(unwanted(0, &[id(100)], false, Some(7)), Some(7));
    }

    #[test]
    fn a_vlan_that_a_port_lacks_is_found_and_others_are_ignored() {
        let vlans = Vlans::new(100, &[range(200, 210)], false).unwrap().unwrap();
        let present = |native, ranges: &[(u16, u16)]| {
            let tagged = ranges.iter().map(|(first, last)| PortVlans::tagged(*first..=*last));
            std::iter::once(native).chain(tagged).collect::<Vec<_>>()
        };
        let native = PortVlans::native;
        assert_eq!(vlans.missing_from(&present(native(100), &[(200, 210)])), None);
        assert_eq!(vlans.missing_from(&present(native(100), &[(1, 204), (205, 300)])), None);
        let lacks = |present: &[PortVlans]| vlans.missing_from(present).map(|lacking| *lacking.vids.start());
        assert_eq!(lacks(&present(native(100), &[(200, 209)])), Some(200));
        assert_eq!(lacks(&present(native(1), &[(100, 100), (200, 210)])), Some(100));
        assert_eq!(lacks(&present(PortVlans { pvid: false, ..native(100) }, &[(200, 210)])), Some(100));
        assert_eq!(lacks(&[]), Some(100));
    }

    #[test]
    fn the_gateway_of_a_vlan_has_an_interface_as_the_reference_names_it() {
        let vlans = |vlan, trunk: &[TrunkEntry]| Vlans::new(vlan, trunk, false).unwrap().unwrap();
        let gateway = vlans(100, &[range(200, 210)]).gateway("cni0").unwrap();
        assert_eq!((gateway.name.as_str(), gateway.vlan), ("cni0.100", 100));
        assert_eq!(gateway.port, vlans(100, &[]));
        assert_eq!(vlans(0, &[id(100)]).gateway("cni0"), None);
        assert!(vlans(4094, &[]).check_gateway("ten-bytes!").is_ok());
        let error = vlans(4094, &[]).check_gateway("eleven-byte").unwrap_err().to_string();
        assert!(error.contains("\"eleven-byte.4094\"") && error.contains("15"), "{error}");
    }
}
