//! Live changes of a pair in a namespace of the test's own.

use std::process::Command;

use cni::Attachment;
use linux::{Link, Rtnetlink};
use nix::sched::{CloneFlags, unshare};

use super::{Change, Shaped, change, shaped};

const KEEP: Change = Change::Keep;

fn set(rate_bits_per_sec: u64) -> Change {
    Change::Set { rate_bits_per_sec, burst_bits: None }
}

fn ip(arguments: &str) {
    let mut words = arguments.split(' ');
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A pair in a new namespace, its host's end with this alias.
fn pair(alias: &str) -> (Rtnetlink, Link) {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace of its own needs root");
    ip("ip link add host0 type veth peer name pod0");
    let mut host = Rtnetlink::open().unwrap();
    let link = host.link_by_name("host0").unwrap().unwrap();
    host.set_alias(link.index, alias).unwrap();
    (host, link)
}

fn web() -> Attachment {
    Attachment { network: "n".into(), container_id: "c1".into(), interface: "eth0".into(), pod: None }
}

fn listed(host: &mut Rtnetlink) -> Option<Shaped> {
    let mut all = shaped(host).unwrap();
    assert!(all.len() <= 1, "{all:?}");
    all.pop()
}

fn rates(host: &mut Rtnetlink) -> (Option<u64>, Option<u64>) {
    let Some(shaped) = listed(host) else { return (None, None) };
    let rate = |direction: Option<super::ShapedDirection>| {
        direction.map(|direction| direction.tbf.rate_bytes_per_sec * 8)
    };
    (rate(shaped.ingress), rate(shaped.egress))
}

/// As the operator's tool does: the link as it is now.
fn apply(host: &mut Rtnetlink, ingress: Change, egress: Change) -> bool {
    let link = host.link_by_name("host0").unwrap().unwrap();
    change(host, &link, Some(&web()), ingress, egress).unwrap()
}

fn alias(host: &mut Rtnetlink) -> String {
    host.link_by_name("host0").unwrap().unwrap().alias.unwrap_or_default()
}

#[test]
fn limits_are_added_changed_and_removed_and_recorded() {
    let (mut host, _) = pair(&web().to_string());
    assert!(apply(&mut host, set(10_000_000), set(5_000_000)));
    assert_eq!(rates(&mut host), (Some(10_000_000), Some(5_000_000)));
    assert_eq!(
        alias(&mut host),
        "weir container=c1 interface=eth0 network=n ingress=10000000 egress=5000000"
    );
    assert_eq!(listed(&mut host).unwrap().attachment, Some(web()));

    let burst = Change::Set { rate_bits_per_sec: 1_000_000, burst_bits: Some(400_000) };
    assert!(apply(&mut host, burst, KEEP));
    assert_eq!(rates(&mut host), (Some(1_000_000), Some(5_000_000)));
    assert!(alias(&mut host).ends_with("ingress=1000000/400000 egress=5000000"));

    assert!(apply(&mut host, KEEP, Change::Remove));
    assert_eq!(rates(&mut host), (Some(1_000_000), None));
    assert!(apply(&mut host, Change::Remove, KEEP));
    assert_eq!(rates(&mut host), (None, None));
    assert!(host.ifbs().unwrap().is_empty());
    assert!(alias(&mut host).ends_with("ingress=none egress=none"));
    assert!(apply(&mut host, set(2_000_000), KEEP));
    assert_eq!(rates(&mut host), (Some(2_000_000), None));
}

#[test]
fn the_same_limit_twice_changes_nothing_and_nothing_is_said_to_the_kernel() {
    let (mut host, _) = pair("");
    assert!(apply(&mut host, set(10_000_000), set(10_000_000)));
    let mut events = Command::new("timeout")
        .args(["1", "ip", "monitor", "link"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(!apply(&mut host, set(10_000_000), set(10_000_000)));
    assert!(!apply(&mut host, KEEP, KEEP));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut events.stdout.take().unwrap(), &mut said).unwrap();
    events.wait().unwrap();
    assert_eq!(said, "");
    assert!(apply(&mut host, Change::Remove, Change::Remove));
    assert!(!apply(&mut host, Change::Remove, Change::Remove));
}

#[test]
fn a_root_filter_is_changed_in_place_and_opened_instead_of_removed() {
    let (mut host, link) = pair("");
    let tbf = linux::Tbf { rate_bytes_per_sec: 125_000, burst_bytes: 100_000, limit_bytes: 200_000 };
    host.set_root_tbf(link.index, &tbf).unwrap();
    assert!(apply(&mut host, set(8_000_000), KEEP));
    assert_eq!(rates(&mut host), (Some(8_000_000), None));
    assert!(apply(&mut host, Change::Remove, KEEP));
    assert_eq!(rates(&mut host), (None, None));
    assert!(host.root_qdisc(link.index).unwrap().unwrap().tbf.unwrap().is_open());
    assert!(apply(&mut host, set(4_000_000), KEEP));
    assert_eq!(rates(&mut host), (Some(4_000_000), None));
    assert!(host.ifbs().unwrap().is_empty());
}

#[test]
fn a_pair_that_another_plugin_made_is_never_called_ours() {
    let (mut host, _) = pair("");
    assert!(apply(&mut host, set(10_000_000), KEEP));
    let alias = alias(&mut host);
    assert_eq!(alias, "weir-shaped container=c1 interface=eth0 network=n ingress=10000000");
    assert!(!web().is_named_by(&alias) && Attachment::parse(&alias).is_none());
    assert_eq!(listed(&mut host).unwrap().attachment, Some(web()));
}

#[test]
fn somebody_elses_alias_stays_and_the_ifb_holds_the_record() {
    let (mut host, _) = pair("uplink of vm 7");
    assert!(apply(&mut host, KEEP, set(10_000_000)));
    assert!(apply(&mut host, KEEP, set(20_000_000)));
    assert_eq!(alias(&mut host), "uplink of vm 7");
    let ifb = host.ifbs().unwrap().pop().unwrap();
    assert_eq!(ifb.alias.as_deref(), Some("weir container=c1 interface=eth0 network=n egress=20000000"));
    let link = host.link_by_name("host0").unwrap().unwrap();
    let refused = change(&mut host, &link, Some(&web()), KEEP, Change::Remove).unwrap_err();
    assert!(refused.to_string().contains("uplink of vm 7"), "{refused}");
    assert_eq!(rates(&mut host), (None, Some(20_000_000)));
}

#[test]
fn a_pod_of_nobodys_can_be_changed_too() {
    let (mut host, link) = pair("");
    assert!(change(&mut host, &link, None, set(1_000_000), set(1_000_000)).unwrap());
    assert_eq!(alias(&mut host), "weir-shaped ingress=1000000 egress=1000000");
    let found = listed(&mut host).unwrap();
    assert_eq!(found.attachment, None);
    assert_eq!(rates(&mut host), (Some(1_000_000), Some(1_000_000)));
}
