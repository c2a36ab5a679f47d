//! Live changes of a pair in a namespace of the test's own.

use std::process::Command;

use cni::Attachment;
use limits::Direction;
use linux::{Change, Link, Rtnetlink};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBufForce;

use super::change::change_by;
use super::{Desired, Pair, Pod, change_limits, pairs};
use crate::effect::NotInEffect;
use crate::kernel::Kernel;
use crate::shaper;
use crate::subnets::Subnets;

const KEEP: Desired = Desired::Unchanged;

fn set(rate_bits_per_sec: u64) -> Desired {
    Desired::Limit { rate_bits_per_sec, burst_bits: None }
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
    host.apply(&[Change::set_alias(link.index, alias)]).unwrap();
    (host, link)
}

fn web() -> Attachment {
    Attachment { network: "n".into(), container_id: "c1".into(), interface: "eth0".into(), pod: None }
}

fn listed(host: &mut Rtnetlink) -> Option<Pair> {
    let mut all = pairs(host).unwrap();
    all.retain(Pair::is_limited);
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

const NOTHING_EXEMPT: Subnets = Subnets::All;

fn known<'a>(host_end: &'a Link, attachment: &'a Attachment) -> Pod<'a> {
    Pod { host_end, attachment: Some(attachment), subnets: Some(&NOTHING_EXEMPT) }
}

/// As the operator's tool does: the link as it is now.
fn apply(host: &mut Rtnetlink, ingress: Desired, egress: Desired) -> bool {
    let link = host.link_by_name("host0").unwrap().unwrap();
    change_limits(host, &known(&link, &web()), ingress, egress).unwrap()
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

    let burst = Desired::Limit { rate_bits_per_sec: 1_000_000, burst_bits: Some(400_000) };
    assert!(apply(&mut host, burst, KEEP));
    assert_eq!(rates(&mut host), (Some(1_000_000), Some(5_000_000)));
    assert!(alias(&mut host).ends_with("ingress=1000000/400000 egress=5000000"));

    assert!(apply(&mut host, KEEP, Desired::Unlimited));
    assert_eq!(rates(&mut host), (Some(1_000_000), None));
    assert!(apply(&mut host, Desired::Unlimited, KEEP));
    assert_eq!(rates(&mut host), (None, None));
    assert!(host.links_of_kind("ifb").unwrap().is_empty());
    assert!(alias(&mut host).ends_with("ingress=none egress=none"));
    assert!(apply(&mut host, set(2_000_000), KEEP));
    assert_eq!(rates(&mut host), (Some(2_000_000), None));
}

#[test]
fn the_same_limit_twice_changes_nothing_and_asks_the_kernel_for_no_change() {
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
    assert!(apply(&mut host, Desired::Unlimited, Desired::Unlimited));
    assert!(!apply(&mut host, Desired::Unlimited, Desired::Unlimited));
}

#[test]
fn a_root_filter_is_changed_in_place_and_opened_instead_of_removed() {
    let (mut host, link) = pair("");
    let tbf = linux::Tbf { rate_bytes_per_sec: 125_000, burst_bytes: 100_000, limit_bytes: 200_000 };
    host.apply(&[Change::set_root_tbf(link.index, &tbf)]).unwrap();
    assert!(apply(&mut host, set(8_000_000), KEEP));
    assert_eq!(rates(&mut host), (Some(8_000_000), None));
    assert!(apply(&mut host, Desired::Unlimited, KEEP));
    assert_eq!(rates(&mut host), (None, None));
    assert!(host.root_qdisc(link.index).unwrap().unwrap().tbf.unwrap().is_open());
    assert!(apply(&mut host, set(4_000_000), KEEP));
    assert_eq!(rates(&mut host), (Some(4_000_000), None));
    assert!(host.links_of_kind("ifb").unwrap().is_empty());
}

#[test]
fn a_pair_of_another_plugin_is_never_taken_for_weirs() {
    let (mut host, _) = pair("");
    assert!(apply(&mut host, set(10_000_000), KEEP));
    let alias = alias(&mut host);
    assert_eq!(alias, "weir-shaped container=c1 interface=eth0 network=n ingress=10000000");
    assert!(!web().is_named_by(&alias) && Attachment::parse(&alias).is_none());
    assert_eq!(listed(&mut host).unwrap().attachment, Some(web()));
}

#[test]
fn the_alias_of_another_program_stays_and_the_ifb_holds_the_record() {
    let (mut host, _) = pair("uplink of vm 7");
    assert!(apply(&mut host, KEEP, set(10_000_000)));
    assert!(apply(&mut host, KEEP, set(20_000_000)));
    assert_eq!(alias(&mut host), "uplink of vm 7");
    let ifb = host.links_of_kind("ifb").unwrap().pop().unwrap();
    assert_eq!(
        ifb.alias.as_deref(),
        Some("weir container=c1 interface=eth0 network=n host=host0 egress=20000000")
    );
    // The last device stays, open, for the record; one beside it goes.
    assert!(apply(&mut host, set(5_000_000), Desired::Unlimited));
    assert_eq!((rates(&mut host), host.links_of_kind("ifb").unwrap().len()), ((Some(5_000_000), None), 1));
    assert!(apply(&mut host, Desired::Unlimited, KEEP));
    assert_eq!((rates(&mut host), host.links_of_kind("ifb").unwrap().len()), ((None, None), 1));
    let ifb = host.links_of_kind("ifb").unwrap().pop().unwrap();
    assert!(ifb.alias.as_deref().is_some_and(|alias| alias.ends_with("ingress=none egress=none")), "{ifb:?}");
    assert!(!apply(&mut host, Desired::Unlimited, Desired::Unlimited));
    assert!(apply(&mut host, set(6_000_000), set(7_000_000)));
    assert_eq!(rates(&mut host), (Some(6_000_000), Some(7_000_000)));
    assert_eq!(alias(&mut host), "uplink of vm 7");
}

/// Seven letters that take six bytes each in an alias, and names that are longer than any alias.
fn long() -> Attachment {
    Attachment {
        network: "n".repeat(220),
        container_id: "c".repeat(220),
        interface: "é".repeat(7),
        pod: None,
    }
}

const LONGEST: Desired =
    Desired::Limit { rate_bits_per_sec: 1_000_000_000_000_000, burst_bits: Some(u64::MAX) };

#[test]
fn a_change_that_cannot_be_recorded_is_refused_before_anything_is_changed() {
    let (mut host, link) = pair("uplink of vm 7");
    change_limits(&mut host, &known(&link, &long()), LONGEST, KEEP).unwrap();
    let (before, devices) = (rates(&mut host), host.links_of_kind("ifb").unwrap());
    let refused = change_limits(&mut host, &known(&link, &long()), KEEP, LONGEST).unwrap_err().to_string();
    assert!(refused.contains("host0") && refused.contains("too long"), "{refused}");
    assert_eq!((rates(&mut host), host.links_of_kind("ifb").unwrap()), (before, devices));
}

#[test]
fn an_alias_of_its_own_has_room_for_the_longest_names_and_numbers() {
    let (mut host, link) = pair("");
    change_limits(&mut host, &known(&link, &long()), LONGEST, LONGEST).unwrap();
    let alias = alias(&mut host);
    for direction in ["ingress", "egress"] {
        let record = format!(" {direction}=1000000000000000/18446744073709551615");
        assert!(alias.contains(&record), "{alias}");
    }
}

#[test]
fn a_limit_at_the_root_of_a_pair_with_the_alias_of_another_program_is_not_changed_without_a_record() {
    let (mut host, link) = pair("uplink of vm 7");
    let tbf = linux::Tbf { rate_bytes_per_sec: 125_000, burst_bytes: 100_000, limit_bytes: 200_000 };
    host.apply(&[Change::set_root_tbf(link.index, &tbf)]).unwrap();
    for wanted in [Desired::Unlimited, set(20_000_000)] {
        let refused = change_limits(&mut host, &known(&link, &web()), wanted, KEEP).unwrap_err();
        assert!(refused.to_string().contains("uplink of vm 7"), "{refused}");
        assert_eq!(rates(&mut host), (Some(1_000_000), None));
    }
}

#[test]
fn a_pod_of_an_unknown_attachment_can_be_changed_too() {
    let (mut host, link) = pair("");
    let unknown = Pod { host_end: &link, attachment: None, subnets: None };
    assert!(change_limits(&mut host, &unknown, set(1_000_000), set(1_000_000)).unwrap());
    assert_eq!(alias(&mut host), "weir-shaped ingress=1000000:all egress=1000000:all");
    let found = listed(&mut host).unwrap();
    assert_eq!(found.attachment, None);
    assert_eq!(rates(&mut host), (Some(1_000_000), Some(1_000_000)));
    // Also when filter or redirection were deleted by hand and the device was left.
    ip("tc qdisc del dev host0 root");
    ip("nft delete chain netdev weir host0");
    assert_eq!(rates(&mut host), (None, None));
    assert!(change_limits(&mut host, &unknown, set(2_000_000), set(2_000_000)).unwrap());
    assert_eq!(rates(&mut host), (Some(2_000_000), Some(2_000_000)));
    assert_eq!(host.links_of_kind("ifb").unwrap().len(), 1);
}

fn shown(command: &str) -> String {
    let words: Vec<&str> = command.split(' ').collect();
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

/// As on a kernel without nf_tables.
fn apply_by_filters(host: &mut Rtnetlink, ingress: Desired, egress: Desired) {
    let link = host.link_by_name("host0").unwrap().unwrap();
    let attachment = web();
    change_by(&mut Kernel::without_nftables(host), &known(&link, &attachment), ingress, egress).unwrap();
}

#[test]
fn a_kernel_without_nftables_redirects_by_filters_which_a_later_change_replaces() {
    let (mut host, _) = pair(&web().to_string());
    apply_by_filters(&mut host, KEEP, set(5_000_000));
    assert_eq!(rates(&mut host), (None, Some(5_000_000)));
    assert!(shown("tc filter show dev host0 ingress").contains("mirred (Egress Redirect to device bwp"));
    assert!(!shown("nft list ruleset").contains("fwd"));
    let device = host.links_of_kind("ifb").unwrap();
    // The same limit again, by a kernel that can do better.
    assert!(apply(&mut host, KEEP, set(5_000_000)));
    assert_eq!((rates(&mut host), host.links_of_kind("ifb").unwrap()), ((None, Some(5_000_000)), device));
    assert_eq!(shown("tc filter show dev host0 ingress"), "");
    assert!(shown("nft list table netdev weir").contains("fwd to \"bwp"));
    assert!(!apply(&mut host, KEEP, set(5_000_000)));
    apply_by_filters(&mut host, KEEP, set(6_000_000));
    assert!(apply(&mut host, KEEP, Desired::Unlimited));
    assert!(
        host.links_of_kind("ifb").unwrap().is_empty()
            && !shown("nft list table netdev weir").contains("chain")
    );
}

#[test]
fn a_chain_redirects_also_where_the_references_filter_does() {
    let (mut host, link) = pair(&web().to_string());
    ip("ip link add bwpf0bca4ac77cd type ifb");
    ip("ip link set bwpf0bca4ac77cd up");
    ip("tc qdisc add dev host0 ingress");
    ip(
        "tc filter add dev host0 parent ffff: protocol all u32 match u32 0 0 flowid 1:1 action mirred egress redirect dev bwpf0bca4ac77cd",
    );
    let tbf = linux::Tbf { rate_bytes_per_sec: 125_000, burst_bytes: 100_000, limit_bytes: 200_000 };
    let ifb = host.links_of_kind("ifb").unwrap().pop().unwrap();
    host.apply(&[Change::set_root_tbf(ifb.index, &tbf)]).unwrap();
    assert!(apply(&mut host, KEEP, set(2_000_000)));
    assert_eq!(rates(&mut host), (None, Some(2_000_000)));
    assert!(shown("nft list table netdev weir").contains("fwd to \"bwpf0bca4ac77cd\""));
    assert!(shown("tc filter show dev host0 ingress").contains("bwpf0bca4ac77cd"), "it is not ours");
    assert_eq!(listed(&mut host).unwrap().egress_fault, None);
    assert_eq!(link.index, host.link_by_name("host0").unwrap().unwrap().index);
}

#[test]
fn no_hook_is_made_and_exempt_traffic_goes_past_a_class() {
    let (mut host, link) = pair(&web().to_string());
    let subnets = Subnets::AllBut(vec!["10.0.0.0/8".parse().unwrap()]);
    let attachment = web();
    let known = Pod { subnets: Some(&subnets), ..known(&link, &attachment) };
    assert!(change_limits(&mut host, &known, set(10_000_000), set(5_000_000)).unwrap());
    assert_eq!(rates(&mut host), (Some(10_000_000), Some(5_000_000)));
    assert_eq!(listed(&mut host).unwrap().ingress.unwrap().device, "host0");
    assert!(!shown("tc qdisc show dev host0").contains("clsact"));
    // The config is unknown: exempt subnets stay exempt.
    let link = host.link_by_name("host0").unwrap().unwrap();
    let unknown = Pod { host_end: &link, attachment: Some(&attachment), subnets: None };
    assert!(change_limits(&mut host, &unknown, Desired::Unlimited, Desired::Unlimited).unwrap());
    assert_eq!(rates(&mut host), (None, None));
    assert!(change_limits(&mut host, &unknown, set(1_000_000), set(2_000_000)).unwrap());
    assert_eq!(rates(&mut host), (Some(1_000_000), Some(2_000_000)));
    assert!(alias(&mut host).ends_with("ingress=1000000 egress=2000000"));
    assert!(shown("nft list table netdev weir").contains("ip daddr { 10.0.0.0/8 } accept"));
    assert!(shown("tc filter show dev host0 parent 1:").contains("match 0a000000/ff000000 at 12"));
}

#[test]
fn the_root_qdisc_of_another_program_stays_and_an_ifb_limits() {
    let (mut host, _) = pair("");
    ip("tc qdisc add dev host0 root handle 7: htb default 1");
    assert!(apply(&mut host, set(10_000_000), KEEP));
    assert_eq!(rates(&mut host), (Some(10_000_000), None));
    assert!(shown("tc qdisc show dev host0").contains("htb 7: root"));
    assert!(apply(&mut host, Desired::Unlimited, KEEP));
    assert!(
        shown("tc qdisc show dev host0").contains("htb 7: root")
            && host.links_of_kind("ifb").unwrap().is_empty()
    );
}

#[test]
fn a_limit_that_is_not_in_effect_says_why() {
    let (mut host, _) = pair(&web().to_string());
    let fault = |host: &mut Rtnetlink| listed(host).unwrap().egress_fault;
    assert!(apply(&mut host, KEEP, set(5_000_000)));
    assert_eq!(fault(&mut host), None);
    let ifb = host.links_of_kind("ifb").unwrap().pop().unwrap().name;
    for (break_it, mend_it, want) in [
        (
            format!("ip link set {ifb} down"),
            format!("ip link set {ifb} up"),
            NotInEffect::IfbDown(ifb.clone()),
        ),
        (
            "nft add table netdev weir { flags dormant; }".to_owned(),
            "nft add table netdev weir".to_owned(),
            NotInEffect::Dormant,
        ),
    ] {
        ip(&break_it);
        assert_eq!(fault(&mut host), Some(want));
        ip(&mend_it);
        assert_eq!(fault(&mut host), None);
    }
    ip(&format!("tc qdisc del dev {ifb} root"));
    assert_eq!(fault(&mut host), Some(NotInEffect::NotShaped(ifb.clone())));
    assert!(apply(&mut host, KEEP, set(5_000_000)));
    ip("nft delete chain netdev weir host0");
    assert_eq!(fault(&mut host), Some(NotInEffect::NoRedirect(ifb.clone())));
    assert!(apply(&mut host, KEEP, set(5_000_000)));
    assert_eq!(fault(&mut host), None);
    ip(&format!("ip link del {}", host.links_of_kind("ifb").unwrap().pop().unwrap().name));
    assert_eq!(fault(&mut host), Some(NotInEffect::DeadEnd));
    assert!(apply(&mut host, set(3_000_000), set(5_000_000)));
    ip("tc qdisc del dev host0 root");
    let pair = listed(&mut host).unwrap();
    assert_eq!((pair.ingress_fault, pair.egress_fault), (Some(NotInEffect::NotShaped("host0".into())), None));
}

#[test]
fn filters_of_others_that_come_first_are_named_where_filters_redirect() {
    let (mut host, _) = pair(&web().to_string());
    ip("tc qdisc add dev host0 root handle 7: htb default 1");
    apply_by_filters(&mut host, set(5_000_000), set(5_000_000));
    let faults = |host: &mut Rtnetlink| {
        let pair = listed(host).unwrap();
        [pair.ingress_fault, pair.egress_fault].map(|fault| fault.map(|fault| fault.to_string()))
    };
    assert_eq!(faults(&mut host), [None, None]);
    for (at, hook) in ["egress", "ingress"].into_iter().enumerate() {
        ip(&format!("tc filter add dev host0 {hook} pref 7 protocol ip u32 match u32 0 0 flowid 1:1"));
        let said = faults(&mut host)[at].clone().unwrap();
        assert!(said.contains("u32 filter of preference 7") && said.contains(hook), "{said}");
        ip(&format!("tc filter del dev host0 {hook} pref 7"));
        // Behind ours it changes nothing.
        ip(&format!("tc filter add dev host0 {hook} pref 65000 protocol ip u32 match u32 0 0 flowid 1:1"));
        assert_eq!(faults(&mut host), [None, None]);
    }
    ip("tc filter add dev host0 ingress pref 7 protocol ip u32 match u32 0 0 flowid 1:1");
    assert!(faults(&mut host)[1].is_some());
    assert!(apply(&mut host, KEEP, set(5_000_000)), "no filter comes before the chain");
    assert_eq!(faults(&mut host), [None, None]);
}

/// A pair with one end up in a namespace of its own, and a thread there that runs `work`.
fn pair_with<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> (Rtnetlink, Link, std::thread::JoinHandle<T>) {
    let (mut host, _) = pair("");
    let (tell, thread) = std::sync::mpsc::channel();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let pod = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let path = std::fs::read_link("/proc/thread-self").unwrap();
        tell.send(path.file_name().unwrap().to_str().unwrap().to_owned()).unwrap();
        wait.recv().unwrap();
        ip("ip addr add 10.9.0.2/24 dev pod0");
        ip("ip link set pod0 up");
        work()
    });
    ip("ip addr add 10.9.0.1/24 dev host0");
    ip("ip link set host0 up");
    ip(&format!("ip link set pod0 netns {}", thread.recv().unwrap()));
    go.send(()).unwrap();
    while Command::new("ping")
        .args(["-c1", "-W1", "-q", "10.9.0.2"])
        .output()
        .is_ok_and(|o| !o.status.success())
    {}
    let link = host.link_by_name("host0").unwrap().unwrap();
    (host, link, pod)
}

#[test]
fn no_packet_is_lost_through_adding_changing_and_removing() {
    use std::net::UdpSocket;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;
    // On a busy machine a receiver may be late: the packets that wait for it are not lost through a change.
    let with_room = |address: &str| {
        let socket = UdpSocket::bind(address).unwrap();
        setsockopt(&socket, RcvBufForce, &(64 << 20)).unwrap();
        socket
    };
    let (mut host, _, pod) = pair_with(move || {
        let socket = with_room("10.9.0.2:7");
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let (mut received, mut last) = (0u32, [0; 1400]);
        // Each packet is sent back, so that both directions count.
        while let Ok((length, from)) = socket.recv_from(&mut last) {
            socket.send_to(&last[..length], from).unwrap();
            received += 1;
        }
        received
    });
    // The first limit of what the pod receives stops the link for a moment.
    assert!(apply(&mut host, set(1_000_000_000), KEEP) && apply(&mut host, Desired::Unlimited, KEEP));
    let socket = with_room("10.9.0.1:8");
    let echo = socket.try_clone().unwrap();
    echo.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let back = std::thread::spawn(move || {
        let mut packet = [0; 1400];
        (0u32..).take_while(|_| echo.recv(&mut packet).is_ok()).count()
    });
    // Until all is changed: on a busy machine the changes take longer.
    let changed = Arc::new(AtomicBool::new(false));
    let all_changed = Arc::clone(&changed);
    let sender = std::thread::spawn(move || {
        let mut sent = 0u32;
        while !all_changed.load(Ordering::Relaxed) || sent < 1_000 {
            socket.send_to(&[7; 1000], "10.9.0.2:7").unwrap();
            sent += 1;
            std::thread::sleep(Duration::from_micros(300));
        }
        sent
    });
    for round in 0..10u64 {
        for limit in [set(500_000_000), set(9_000_000_000 + round), set(400_000_000), Desired::Unlimited] {
            assert!(apply(&mut host, limit, limit));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    changed.store(true, Ordering::Relaxed);
    let sent = sender.join().unwrap();
    let (received, echoed) = (pod.join().unwrap(), back.join().unwrap());
    assert_eq!((received, u32::try_from(echoed).unwrap()), (sent, sent));
}

#[test]
fn a_busy_flow_goes_on_when_its_limit_becomes_a_thousandth() {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};
    const WINDOW: Duration = Duration::from_millis(300);
    const PATIENCE: Duration = Duration::from_secs(30);
    let (mut host, link, pod) = pair_with(move || {
        let (mut stream, _) = TcpListener::bind("10.9.0.2:7").unwrap().accept().unwrap();
        let mut buffer = vec![0; 1 << 16];
        while let Ok(1..) = stream.read(&mut buffer) {}
    });
    assert!(apply(&mut host, set(2_000_000_000), KEEP));
    let begin = Instant::now();
    let mut stream = std::iter::repeat_with(|| TcpStream::connect("10.9.0.2:7"))
        .find(|stream| stream.is_ok() || begin.elapsed() > PATIENCE)
        .unwrap()
        .unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&over);
    let sender = std::thread::spawn(move || {
        while !is_over.load(Ordering::Relaxed) && stream.write_all(&[0; 65_536]).is_ok() {}
    });
    for mbits in [1_000, 2, 500, 2] {
        assert!(apply(&mut host, set(mbits * 1_000_000), KEEP));
        // By what has passed the filter: a receiver on a busy machine takes it in later, all at once.
        let mut passed = || {
            let mut kernel = Kernel::new(&mut host);
            let shaper = shaper::find(&mut kernel, &link, Direction::Ingress).unwrap().unwrap();
            shaper.qdisc.statistics.bytes
        };
        let applied = Instant::now();
        let mut got = 0;
        while got < 30_000 {
            assert!(applied.elapsed() < PATIENCE, "{mbits} Mbit/s: {got} bytes");
            let (begin, before) = (Instant::now(), passed());
            std::thread::sleep(WINDOW);
            got = passed() - before;
            let milliseconds = u64::try_from(begin.elapsed().as_millis()).unwrap();
            let most = 125 * mbits * milliseconds * 13 / 10;
            assert!(got < most, "{mbits} Mbit/s: {got} bytes in {milliseconds} ms");
        }
    }
    assert!(apply(&mut host, Desired::Unlimited, KEEP));
    over.store(true, Ordering::Relaxed);
    sender.join().unwrap();
    pod.join().unwrap();
}
