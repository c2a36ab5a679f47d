//! Links of each kind, created and shown by the kernel.

use super::*;
use crate::testing::{bridge, ifb, new_namespace, veth};

const MAC: Mac = Mac([0x0a, 0x58, 0x0a, 1, 0, 7]);

fn shown_by_ip(name: &str) -> String {
    let ip = std::process::Command::new("ip").args(["-details", "link", "show", name]).output();
    String::from_utf8(ip.unwrap().stdout).unwrap()
}

#[test]
fn an_ifb_is_born_down_with_its_mtu() {
    let mut rtnetlink = new_namespace();
    let veth = veth(&mut rtnetlink, "host0", "pod0", None);
    let new = NewLink { mac: Some(MAC), mtu: Some(1450), ..NewLink::new("bwp0", NewLinkKind::Ifb) };
    let made = rtnetlink.create(&new).unwrap();
    let seen = rtnetlink.link_by_name("bwp0").unwrap().unwrap();
    assert!(!seen.up && seen.is("ifb"));
    assert_eq!(seen.mtu, 1450);
    assert_eq!((seen.index, seen.mac, made.mac), (made.index, Some(MAC), Some(MAC)));
    let all = rtnetlink.links_of_kind("ifb").unwrap();
    assert_eq!(all.iter().map(|link| link.index).collect::<Vec<_>>(), [made.index]);
    assert_ne!(veth.index, made.index);
}

#[test]
fn a_name_that_is_taken_is_said_and_nothing_is_changed() {
    let mut rtnetlink = new_namespace();
    veth(&mut rtnetlink, "host0", "pod0", None);
    let error = rtnetlink.create(&NewLink::new("host0", NewLinkKind::Ifb)).unwrap_err();
    assert!(error.is_taken(), "{error}");
    assert!(rtnetlink.link_by_name("host0").unwrap().unwrap().is("veth"));
}

#[test]
fn a_pair_is_created_with_everything_in_one_request() {
    let mut rtnetlink = new_namespace();
    let bridge = bridge(&mut rtnetlink, "br0");
    let peer = VethPeer { name: "pod0", mac: Some(MAC), namespace: None };
    let new = NewLink {
        mac: Some(Mac([2; 6])),
        mtu: Some(1400),
        master: Some(bridge.index),
        unfinished: true,
        ..NewLink::new("host0", NewLinkKind::Veth(peer))
    };
    let made = rtnetlink.create(&new).unwrap();
    let host = rtnetlink.link_by_index(made.index).unwrap().unwrap();
    let pod = rtnetlink.link_by_name("pod0").unwrap().unwrap();
    assert_eq!((made.peer, pod.peer), (Some(pod.index), Some(host.index)));
    assert_eq!((host.mac, pod.mac), (Some(Mac([2; 6])), Some(MAC)));
    assert_eq!((host.mtu, pod.mtu), (1400, 1400));
    assert_eq!((host.master, pod.master), (Some(bridge.index), None));
    assert!(!host.up && !pod.up && rtnetlink.is_maker_of(&host) && !pod.is_unfinished());
    for name in ["host0", "pod0"] {
        let shown = shown_by_ip(name);
        assert!(shown.contains("numtxqueues 1 ") && shown.contains("numrxqueues 1 "), "{shown}");
    }
}

#[test]
fn a_macvlan_is_created_in_a_pods_namespace() {
    let pod = std::thread::spawn(|| {
        let _ = new_namespace();
        Namespace::open("/proc/thread-self/ns/net").unwrap()
    });
    let pod = pod.join().unwrap();
    let mut host = new_namespace();
    let parent = bridge(&mut host, "br0").index;
    let kind = NewLinkKind::Macvlan { parent, mode: MacvlanMode::Private };
    let new =
        NewLink { mac: Some(MAC), mtu: Some(1400), namespace: Some(&pod), ..NewLink::new("eth0", kind) };
    let made = host.create(&new).unwrap();
    assert!(made.is("macvlan") && made.peer == Some(parent));
    assert_eq!((made.name.as_str(), made.mac, made.mtu), ("eth0", Some(MAC), 1400));
    assert_eq!(host.link_by_name("eth0").unwrap(), None);
    let shown = pod.enter(|| Ok(shown_by_ip("eth0"))).unwrap();
    assert!(shown.contains("macvlan mode private"), "{shown}");
}

#[test]
fn the_kernel_is_asked_for_kinds_and_nothing_is_made() {
    let mut rtnetlink = new_namespace();
    for kind in [
        NewLinkKind::Bridge { vlan_filtering: false },
        NewLinkKind::Ifb,
        NewLinkKind::PROBE_VETH,
        NewLinkKind::Macvlan { parent: 0, mode: MacvlanMode::Bridge },
    ] {
        rtnetlink.probe(kind).unwrap();
    }
    for kind in ["bridge", "ifb", "veth", "macvlan"] {
        assert_eq!(rtnetlink.links_of_kind(kind).unwrap(), [], "{kind}");
    }
    let mut unknown = LinkMessage::default();
    unknown.attributes.push(LinkAttribute::IfName(IMPOSSIBLE_NAME.to_owned()));
    let kind = LinkInfo::Kind(InfoKind::Other("nonsense".to_owned()));
    unknown.attributes.push(LinkAttribute::LinkInfo(vec![kind]));
    let refused = rtnetlink.probe_message(unknown, Feature::Bridge);
    assert!(matches!(refused, Err(Error::MissingFeature { feature: Feature::Bridge, .. })), "{refused:?}");
}

#[test]
fn an_unfinished_link_is_in_its_makers_group() {
    let mut rtnetlink = new_namespace();
    let made = ifb(&mut rtnetlink, "bwp0");
    assert!(made.is_unfinished() && rtnetlink.is_maker_of(&made));
}
