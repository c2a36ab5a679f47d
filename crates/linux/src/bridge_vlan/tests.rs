//! Our messages beside those of iproute2 (`testdata/bridge_vlan.txt`), byte by byte.

use netlink_packet_core::{NLM_F_ECHO, NLM_F_EXCL};

use super::*;
use crate::mac::Mac;
use crate::netlink::{HEADER_LEN, message, request_flags};
use crate::rtnetlink::encode;
use crate::testing::new_namespace;
use crate::{NewLink, NewLinkKind};

const CAPTURED: &str = include_str!("../../testdata/bridge_vlan.txt");
/// The indices of X and br0 where it was captured.
const PORT: u32 = 3;
const BRIDGE: u32 = 4;

/// The bytes that stand under `title`.
fn captured(title: &str) -> Vec<u8> {
    let lines = CAPTURED.lines().skip_while(|line| *line != title).skip(1);
    let bytes: Vec<u8> = lines
        .take_while(|line| !line.is_empty())
        .flat_map(|line| line.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()))
        .collect();
    assert!(!bytes.is_empty(), "nothing was captured as {title:?}");
    bytes
}

/// What a command sent, without its sequence number, which is a time of day.
fn sent(command: &str) -> Vec<u8> {
    let mut bytes = captured(&format!("$ {command}"));
    bytes[8..12].fill(0);
    bytes
}

fn ours(request: RouteNetlinkMessage, flags: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(request, request_flags(flags), 0, &mut bytes);
    bytes
}

/// iproute2 sends a kind of link without a closing zero, netlink-packet-route with one. "bridge" is padded to eight
/// bytes in both; only the length of the attribute (`IFLA_INFO_KIND`, 10) is one more. The kernel takes both.
fn with_closing_zero_of_the_kind(mut bytes: Vec<u8>) -> Vec<u8> {
    let kind = bytes.windows(10).position(|window| window == b"\x0a\0\x01\0bridge").unwrap();
    bytes[kind] += 1;
    bytes
}

fn filtering_bridge() -> NewLink<'static> {
    let kind = NewLinkKind::Bridge { vlan_filtering: true };
    NewLink { mac: Some(Mac([2, 0, 0, 0, 0, 1])), up: true, ..NewLink::new("br1", kind) }
}

#[test]
fn a_bridge_is_created_with_filtering_as_by_ip() {
    let message = filtering_bridge().message(0);
    let mut theirs = sent("ip link add br1 address 02:00:00:00:00:01 up type bridge vlan_filtering 1");
    // We want to be told what was made.
    theirs[6..8].copy_from_slice(&request_flags(NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO).to_ne_bytes());
    assert_eq!(
        ours(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO),
        with_closing_zero_of_the_kind(theirs)
    );
}

#[test]
fn filtering_is_switched_on_as_by_ip() {
    assert_eq!(
        ours(RouteNetlinkMessage::NewLink(filtering_message(BRIDGE)), 0),
        with_closing_zero_of_the_kind(sent("ip link set br0 type bridge vlan_filtering 1"))
    );
}

#[test]
fn a_port_gets_vlans_as_by_bridge() {
    let add = |vlans| ours(RouteNetlinkMessage::SetLink(port_message(PORT, &[vlans])), 0);
    assert_eq!(add(PortVlans::native(100)), sent("bridge vlan add dev X vid 100 pvid untagged"));
    assert_eq!(add(PortVlans::tagged(200..=210)), sent("bridge vlan add dev X vid 200-210"));
    assert_eq!(add(PortVlans::tagged(300..=300)), sent("bridge vlan add dev X vid 300"));
}

#[test]
fn a_port_loses_a_vlan_as_by_bridge() {
    let message = port_message(PORT, &[PortVlans::tagged(1..=1)]);
    assert_eq!(ours(RouteNetlinkMessage::DelLink(message), 0), sent("bridge vlan del dev X vid 1"));
}

#[test]
fn all_vlans_of_a_port_go_in_one_message_in_which_iproute2_has_one_each() {
    /// `struct nlmsghdr`, `struct ifinfomsg` and the header of `IFLA_AF_SPEC`.
    const BEFORE_THE_VLANS: usize = 16 + 16 + 4;
    let vlans = [PortVlans::native(100), PortVlans::tagged(200..=210), PortVlans::tagged(300..=300)];
    let message = ours(RouteNetlinkMessage::SetLink(port_message(PORT, &vlans)), 0);
    let theirs: Vec<u8> = [
        "bridge vlan add dev X vid 100 pvid untagged",
        "bridge vlan add dev X vid 200-210",
        "bridge vlan add dev X vid 300",
    ]
    .into_iter()
    .flat_map(|command| sent(command).split_off(BEFORE_THE_VLANS))
    .collect();
    assert_eq!(message[BEFORE_THE_VLANS..], theirs);
}

#[test]
fn as_many_ranges_as_there_can_be_fit_into_one_message() {
    let every_other: Vec<_> = (1..=4094).step_by(2).map(|vid| PortVlans::tagged(vid..=vid)).collect();
    let message = ours(RouteNetlinkMessage::SetLink(port_message(PORT, &every_other)), 0);
    let of_the_attribute = u16::from_ne_bytes([message[32], message[33]]);
    assert_eq!(usize::from(of_the_attribute), message.len() - 32);
}

#[test]
fn a_ports_vlans_are_asked_for_as_by_bridge_but_of_this_port_only() {
    let mut theirs = sent("bridge -d vlan show dev X");
    // bridge asks for the VLANs of all ports and leaves out the others itself.
    theirs[20..24].copy_from_slice(&PORT.to_ne_bytes());
    // It says that it wants no statistics (BRIDGE_VLANDB_DUMP_FLAGS 0), which is so without saying.
    assert_eq!(theirs.split_off(24), [8, 0, 1, 0, 0, 0, 0, 0]);
    theirs[0] -= 8;
    assert_eq!(message(RTM_GETVLAN, request_flags(NLM_F_DUMP), 0, &list_payload(PORT)), theirs);
}

#[test]
fn a_ports_vlans_are_read_as_bridge_shows_them() {
    let answer = captured("< bridge -d vlan show dev X");
    let reply = Reply { kind: RTM_NEWVLAN, payload: &answer[HEADER_LEN..] };
    assert_eq!(
        PortVlans::parse(&reply),
        [PortVlans::native(100), PortVlans::tagged(200..=210), PortVlans::tagged(300..=300)]
    );
}

/// A bridge of the kernel that runs this, and whether `ip` may make it filter by VLANs.
fn bridge() -> (Rtnetlink, u32, bool) {
    let mut rtnetlink = new_namespace();
    let bridge = crate::testing::bridge(&mut rtnetlink, "br0");
    let witness = std::process::Command::new("ip")
        .args("link add witness type bridge vlan_filtering 1".split(' '))
        .output()
        .unwrap();
    (rtnetlink, bridge.index, witness.status.success())
}

#[test]
fn the_probe_agrees_with_ip_about_this_kernel_and_makes_nothing() {
    let (mut rtnetlink, bridge, filters) = bridge();
    let outcome = rtnetlink.probe_vlan_filtering();
    if filters {
        outcome.unwrap();
        rtnetlink.enable_vlan_filtering(bridge).unwrap();
        let vlans = rtnetlink.link_by_index(bridge).unwrap().unwrap().vlans;
        assert_eq!(vlans, BridgeVlans { filtering: true, default: Some(1) });
    } else {
        let lacks_filtering = |outcome: Result<()>| {
            let text = outcome.unwrap_err().to_string();
            assert!(text.contains("CONFIG_BRIDGE_VLAN_FILTERING"), "{text}");
        };
        lacks_filtering(outcome);
        lacks_filtering(rtnetlink.enable_vlan_filtering(bridge));
        lacks_filtering(rtnetlink.create(&filtering_bridge()).map(|_| ()));
        lacks_filtering(rtnetlink.add_port_vlans(bridge, &[PortVlans::native(100)]));
        lacks_filtering(rtnetlink.port_vlans(bridge).map(|_| ()));
        let vlans = rtnetlink.link_by_index(bridge).unwrap().unwrap().vlans;
        assert_eq!(vlans, BridgeVlans { filtering: false, default: None });
    }
    assert_eq!(rtnetlink.link_by_name("br1").unwrap(), None);
}
