//! Fixtures of this crate's tests.

use nix::sched::{CloneFlags, unshare};

use crate::{Link, Mac, Namespace, NewLink, NewLinkKind, Rtnetlink, VethPeer};

/// Returns a socket in a network namespace that ends with the test's thread.
pub fn new_namespace() -> Rtnetlink {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace of its own needs root");
    Rtnetlink::open().unwrap()
}

/// Returns a socket in a new namespace, and host0, an end of a veth pair there.
pub fn namespace_with_veth() -> (Rtnetlink, Link) {
    let mut rtnetlink = new_namespace();
    let veth = veth(&mut rtnetlink, "host0", "pod0", None);
    (rtnetlink, veth)
}

/// Creates a bridge.
pub fn bridge(rtnetlink: &mut Rtnetlink, name: &str) -> Link {
    let kind = NewLinkKind::Bridge { vlan_filtering: false };
    rtnetlink.create(&NewLink { mac: Some(Mac::random()), up: true, ..NewLink::new(name, kind) }).unwrap()
}

/// Creates an ifb.
pub fn ifb(rtnetlink: &mut Rtnetlink, name: &str) -> Link {
    let new = NewLink { mac: Some(Mac::random()), unfinished: true, ..NewLink::new(name, NewLinkKind::Ifb) };
    rtnetlink.create(&new).unwrap()
}

/// Creates a veth pair, down, and returns its first end.
pub fn veth(rtnetlink: &mut Rtnetlink, name: &str, peer: &str, namespace: Option<&Namespace>) -> Link {
    let peer = VethPeer { name: peer, mac: Some(Mac::random()), namespace };
    rtnetlink.create(&NewLink::new(name, NewLinkKind::Veth(peer))).unwrap()
}
