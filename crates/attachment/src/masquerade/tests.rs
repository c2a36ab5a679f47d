//! The table on a real kernel, each test in a network namespace of its own (they need root), checked
//! with `nft`.

use std::net::UdpSocket;
use std::process::Command;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use ipnetwork::IpNetwork;
use nix::sched::{CloneFlags, unshare};

use super::*;
use crate::claimant::{is_claimant_in, of_parts};

fn blue() -> Claimant {
    of_parts("podnet", "blue", "eth0")
}

fn red() -> Claimant {
    of_parts("podnet", "red", "eth0")
}

/// Gives this thread, and the threads and processes that it starts, a network namespace of their own.
fn namespace() -> Nftables {
    unshare(CloneFlags::CLONE_NEWNET).expect("kernel tests need root");
    Nftables::open().unwrap()
}

fn pods(addresses: &[&str]) -> Vec<IpNetwork> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

fn run(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The table as `nft` prints it, one line for each object, without the indentation.
fn listing() -> String {
    run("nft list table inet weir").lines().map(|line| format!("{}\n", line.trim())).collect()
}

#[test]
fn nft_shows_a_table_that_explains_itself() {
    let mut nftables = namespace();
    add(&mut nftables, &blue(), &pods(&["10.88.0.5/16", "fd00:1::5/64"])).unwrap();
    let listing = listing();
    for line in [
        "elements = { 10.88.0.5 comment \"podnet/blue/eth0\" }",
        "elements = { fd00:1::5 comment \"podnet/blue/eth0\" }",
        "elements = { 10.88.0.0 : jump from-10.88.0.0/16 }",
        "elements = { fd00:1:: : jump from-fd00_1__/64 }",
        "type nat hook postrouting priority srcnat; policy accept;",
        "ip saddr & 255.255.0.0 vmap @subnets-ipv4-16 comment \"to the chain of the source's subnet\"",
        "ip6 saddr & ffff:ffff:ffff:ffff:: vmap @subnets-ipv6-64 comment \"to the chain of the source's subnet\"",
        "ip saddr @pods-10.88.0.0/16 ip daddr != 10.88.0.0/16 ip daddr != 224.0.0.0/4 masquerade comment \"pods leave with the node's address\"",
        "ip6 saddr @pods-fd00_1__/64 ip6 daddr != fd00:1::/64 ip6 daddr != ff00::/8 masquerade comment \"pods leave with the node's address\"",
    ] {
        assert!(listing.contains(&format!("{line}\n")), "{line}\nis not in\n{listing}");
    }
}

#[test]
fn a_ruleset_that_nft_saved_can_be_loaded_again() {
    let mut nftables = namespace();
    let long = "n".repeat(255);
    let owner = of_parts(&long, &long, "eth0");
    add(&mut nftables, &owner, &pods(&["10.88.0.5/16", "fd00:1::5/64", "10.9.9.9/32"])).unwrap();
    let before = listing();
    run(
        "nft list ruleset > /tmp/weir-$$.nft && nft flush ruleset && nft -f /tmp/weir-$$.nft; result=$?; rm /tmp/weir-$$.nft; exit $result",
    );
    assert_eq!(listing(), before);
    run("nft -j list table inet weir");
}

#[test]
fn an_addition_can_be_repeated() {
    let mut nftables = namespace();
    add(&mut nftables, &blue(), &pods(&["10.88.0.5/16"])).unwrap();
    let before = listing();
    add(&mut nftables, &blue(), &pods(&["10.88.0.5/16"])).unwrap();
    assert_eq!(listing(), before);
}

#[test]
fn an_addition_with_other_addresses_replaces_the_earlier_ones() {
    let mut nftables = namespace();
    add(&mut nftables, &blue(), &pods(&["10.88.0.5/16", "fd00::5/64"])).unwrap();
    let now = pods(&["10.88.0.6/16", "fd00::5/64"]);
    add(&mut nftables, &blue(), &now).unwrap();
    assert_eq!(check(&mut nftables, &blue(), &now).unwrap(), None);
    assert!(!listing().contains("10.88.0.5"));
}

#[test]
fn an_address_can_move_to_another_subnet() {
    let mut nftables = namespace();
    add(&mut nftables, &blue(), &pods(&["10.88.0.5/16"])).unwrap();
    add(&mut nftables, &blue(), &pods(&["10.88.0.5/24"])).unwrap();
    assert_eq!(check(&mut nftables, &blue(), &pods(&["10.88.0.5/24"])).unwrap(), None);
    assert_eq!(run("nft list set inet weir pods-10.88.0.0/16 | grep -c elements || true"), "0\n");
}

#[test]
fn a_removal_needs_only_the_claimant() {
    let mut nftables = namespace();
    add(&mut nftables, &blue(), &pods(&["10.88.0.5/16", "fd00::5/64", "10.9.9.9/32"])).unwrap();
    add(&mut nftables, &red(), &pods(&["10.88.0.6/16"])).unwrap();
    remove(&mut nftables, &blue()).unwrap();
    let listing = listing();
    for gone in ["10.88.0.5", "fd00::5", "10.9.9.9", "blue"] {
        assert!(!listing.contains(gone), "{gone} is in\n{listing}");
    }
    assert_eq!(check(&mut nftables, &red(), &pods(&["10.88.0.6/16"])).unwrap(), None);
}

#[test]
fn a_second_removal_is_not_an_error() {
    let mut nftables = namespace();
    add(&mut nftables, &blue(), &pods(&["10.88.0.5/16"])).unwrap();
    remove(&mut nftables, &blue()).unwrap();
    remove(&mut nftables, &blue()).unwrap();
}

#[test]
fn a_removal_before_any_addition_creates_nothing() {
    let mut nftables = namespace();
    remove(&mut nftables, &blue()).unwrap();
    assert_eq!(list(&mut nftables).unwrap(), []);
    assert_eq!(run("nft list ruleset"), "");
}

#[test]
fn a_lost_owner_is_replaced() {
    let mut nftables = namespace();
    let address = pods(&["10.88.0.5/16"]);
    add(&mut nftables, &blue(), &address).unwrap();
    add(&mut nftables, &red(), &address).unwrap();
    assert_eq!(check(&mut nftables, &red(), &address).unwrap(), None);
    let taken = "10.88.0.5 is masqueraded for another attachment (nf_tables, inet weir)".to_owned();
    assert_eq!(check(&mut nftables, &blue(), &address).unwrap(), Some(taken));
    assert!(listing().contains("10.88.0.5 comment \"podnet/red/eth0\""));
}

#[test]
fn a_lost_owner_in_another_subnet_is_replaced() {
    let mut nftables = namespace();
    add(&mut nftables, &blue(), &pods(&["10.88.0.5/16"])).unwrap();
    add(&mut nftables, &red(), &pods(&["10.88.0.5/24"])).unwrap();
    assert_eq!(check(&mut nftables, &red(), &pods(&["10.88.0.5/24"])).unwrap(), None);
    assert_eq!(run("nft list set inet weir pods-10.88.0.0/16 | grep -c elements || true"), "0\n");
}

#[test]
fn an_address_that_went_to_another_pod_stays() {
    let mut nftables = namespace();
    add(&mut nftables, &blue(), &pods(&["10.88.0.5/16", "fd00::5/64"])).unwrap();
    add(&mut nftables, &red(), &pods(&["10.88.0.5/16"])).unwrap();
    remove(&mut nftables, &blue()).unwrap();
    assert_eq!(check(&mut nftables, &red(), &pods(&["10.88.0.5/16"])).unwrap(), None);
    assert!(!listing().contains("fd00::5"));
    assert_eq!(list(&mut nftables).unwrap().len(), 1);
}

#[test]
fn an_attachment_that_lost_all_addresses_to_others_can_be_added_again() {
    let mut nftables = namespace();
    add(&mut nftables, &blue(), &pods(&["10.88.0.5/16"])).unwrap();
    add(&mut nftables, &red(), &pods(&["10.88.0.5/16"])).unwrap();
    add(&mut nftables, &blue(), &pods(&["10.88.0.6/16"])).unwrap();
    assert_eq!(check(&mut nftables, &red(), &pods(&["10.88.0.5/16"])).unwrap(), None);
    assert_eq!(check(&mut nftables, &blue(), &pods(&["10.88.0.6/16"])).unwrap(), None);
}

#[test]
fn two_interfaces_of_one_container_are_two_attachments() {
    let mut nftables = namespace();
    let second = of_parts("podnet", "blue", "net1");
    add(&mut nftables, &blue(), &pods(&["10.88.0.5/16"])).unwrap();
    add(&mut nftables, &second, &pods(&["10.89.0.5/16"])).unwrap();
    remove(&mut nftables, &blue()).unwrap();
    assert_eq!(check(&mut nftables, &second, &pods(&["10.89.0.5/16"])).unwrap(), None);
}

#[test]
fn attachments_are_listed_with_their_owners_and_can_be_collected() {
    let mut nftables = namespace();
    let long = "n".repeat(200);
    let other = of_parts(&long, "c", "eth0");
    add(&mut nftables, &blue(), &pods(&["10.88.0.5/16", "fd00::5/64"])).unwrap();
    add(&mut nftables, &other, &pods(&["10.89.0.5/16"])).unwrap();
    let listed = list(&mut nftables).unwrap();
    let blue = listed.iter().find(|owner| owner.digest == blue().digest).unwrap();
    assert_eq!(blue.comment, "podnet/blue/eth0");
    assert_eq!(recorded(&mut nftables, blue.digest).unwrap().unwrap(), pods(&["10.88.0.5/16", "fd00::5/64"]));
    let other = listed.iter().find(|owner| is_claimant_in(owner, &long)).unwrap();
    remove(&mut nftables, other).unwrap();
    assert_eq!(list(&mut nftables).unwrap(), std::slice::from_ref(blue));
}

#[test]
fn a_check_notices_what_was_removed_by_hand() {
    let mut nftables = namespace();
    let address = pods(&["10.88.0.5/16"]);
    let missing = "10.88.0.5 is not masqueraded (nf_tables, inet weir)".to_owned();
    assert_eq!(check(&mut nftables, &blue(), &address).unwrap(), Some(missing.clone()));
    add(&mut nftables, &blue(), &address).unwrap();
    assert_eq!(check(&mut nftables, &blue(), &address).unwrap(), None);
    run("nft flush set inet weir pods-10.88.0.0/16");
    assert_eq!(check(&mut nftables, &blue(), &address).unwrap(), Some(missing));
    run(
        "nft add element inet weir pods-10.88.0.0/16 { 10.88.0.5 }; nft flush chain inet weir from-10.88.0.0/16",
    );
    let fault = check(&mut nftables, &blue(), &address).unwrap();
    assert!(fault.unwrap().contains("rule of chain from-10.88.0.0/16 is gone"));
    run("nft flush table inet weir");
    let fault = check(&mut nftables, &blue(), &address).unwrap();
    assert!(fault.unwrap().contains("rule of chain postrouting is gone"));
}

#[test]
fn a_deleted_table_comes_back_with_the_next_pod() {
    let mut nftables = namespace();
    add(&mut nftables, &blue(), &pods(&["10.88.0.5/16"])).unwrap();
    run("nft delete table inet weir");
    remove(&mut nftables, &blue()).unwrap();
    add(&mut nftables, &red(), &pods(&["10.88.0.6/16"])).unwrap();
    assert_eq!(check(&mut nftables, &red(), &pods(&["10.88.0.6/16"])).unwrap(), None);
}

#[test]
fn elements_flushed_by_hand_do_not_stop_a_removal_or_an_addition() {
    let mut nftables = namespace();
    let address = pods(&["10.88.0.5/16"]);
    for set in ["set inet weir pods-10.88.0.0/16", "map inet weir owners", "set inet weir attachments"] {
        add(&mut nftables, &blue(), &address).unwrap();
        run(&format!("nft flush {set}"));
        add(&mut nftables, &blue(), &address).unwrap();
        assert_eq!(check(&mut nftables, &blue(), &address).unwrap(), None, "after flushing {set}");
        run(&format!("nft flush {set}"));
        remove(&mut nftables, &blue()).unwrap();
    }
}

#[test]
fn a_probe_leaves_nothing_behind() {
    let mut nftables = namespace();
    probe(&mut nftables).unwrap();
    assert_eq!(run("nft list ruleset"), "");
}

#[test]
fn too_many_addresses_are_an_error_that_says_so() {
    let mut nftables = namespace();
    let many: Vec<_> = (0..60).map(|n| format!("10.88.0.{n}/16").parse().unwrap()).collect();
    let error = add(&mut nftables, &blue(), &many).unwrap_err();
    assert!(error.to_string().contains("too many addresses"), "{error}");
}

#[test]
fn two_processes_create_the_table_at_once() {
    namespace();
    for round in 0..8 {
        let start = Arc::new(Barrier::new(8));
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let start = start.clone();
                thread::spawn(move || {
                    let mut nftables = Nftables::open().unwrap();
                    let id = format!("c{n}");
                    let owner = of_parts("podnet", &id, "eth0");
                    start.wait();
                    let pods = pods(&[
                        &format!("10.88.0.{n}/16"),
                        &format!("fd00::{n}/64"),
                        &format!("10.9.0.{n}/32"),
                    ]);
                    add(&mut nftables, &owner, &pods).unwrap();
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let listing = listing();
        assert_eq!(listing.matches("vmap").count(), 2, "round {round}:\n{listing}");
        assert_eq!(listing.matches(" masquerade").count(), 3, "round {round}:\n{listing}");
        run("nft delete table inet weir");
    }
}

#[test]
fn sixty_four_attachments_come_and_go_at_once() {
    let mut nftables = namespace();
    add(&mut nftables, &blue(), &pods(&["10.88.255.1/16", "fd00:ffff::1/16"])).unwrap();
    remove(&mut nftables, &blue()).unwrap();
    let base = listing();
    let start = Arc::new(Barrier::new(64));
    let threads: Vec<_> = (0..64)
        .map(|n| {
            let start = start.clone();
            thread::spawn(move || {
                let mut nftables = Nftables::open().unwrap();
                let id = format!("c{n}");
                let owner = of_parts("podnet", &id, "eth0");
                let pods = pods(&[&format!("10.88.0.{n}/16"), &format!("fd00::{n}/16")]);
                start.wait();
                for _ in 0..20 {
                    add(&mut nftables, &owner, &pods).unwrap();
                    assert_eq!(check(&mut nftables, &owner, &pods).unwrap(), None);
                    remove(&mut nftables, &owner).unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(listing(), base);
}

#[test]
fn an_address_that_many_fight_for_has_one_owner_in_the_end() {
    let mut nftables = namespace();
    let start = Arc::new(Barrier::new(8));
    let threads: Vec<_> = (0..8)
        .map(|n| {
            let start = start.clone();
            thread::spawn(move || {
                let mut nftables = Nftables::open().unwrap();
                let id = format!("c{n}");
                let owner = of_parts("podnet", &id, "eth0");
                start.wait();
                for _ in 0..20 {
                    add(&mut nftables, &owner, &pods(&["10.88.0.5/16"])).unwrap();
                    remove(&mut nftables, &owner).unwrap();
                }
                add(&mut nftables, &owner, &pods(&["10.88.0.5/16"])).unwrap();
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let holders: Vec<_> = (0..8)
        .filter(|n| {
            let id = format!("c{n}");
            let owner = of_parts("podnet", &id, "eth0");
            check(&mut nftables, &owner, &pods(&["10.88.0.5/16"])).unwrap().is_none()
        })
        .collect();
    assert_eq!(holders.len(), 1);
    for owner in list(&mut nftables).unwrap() {
        remove(&mut nftables, &owner).unwrap();
    }
    assert!(!listing().contains("10.88.0.5"));
}

/// A pod's namespace behind this one, which routes to an outer network and to a second pod.
#[test]
fn packets_leave_the_subnet_with_the_nodes_address_and_stay_themselves_inside() {
    let mut node = namespace();
    run("ip link set lo up
         ip link add pod0 type veth peer name eth0
         ip link add out0 type veth peer name out1
         sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
         ip addr add 10.88.0.1/24 dev pod0; ip link set pod0 up
         ip addr add 192.0.2.1/24 dev out0; ip link set out0 up");
    // Its thread keeps each inner namespace alive; `ip link set netns PID` names it by the thread's number.
    let inner = |device: &'static str, setup: String| {
        let (ready, number) = std::sync::mpsc::channel();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (say, results) = std::sync::mpsc::channel::<Box<dyn FnOnce() -> String + Send>>();
        let (answer, answers) = std::sync::mpsc::channel();
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            ready.send(nix::unistd::gettid()).unwrap();
            wait.recv().unwrap();
            run(&setup);
            answer.send(String::new()).unwrap();
            for work in results {
                answer.send(work()).unwrap();
            }
        });
        let number = number.recv().unwrap();
        run(&format!("ip link set {device} netns {number}"));
        go.send(()).unwrap();
        answers.recv().unwrap();
        move |work: Box<dyn FnOnce() -> String + Send>| {
            say.send(work).unwrap();
            answers.recv().unwrap()
        }
    };
    let pod = inner("eth0", "ip link set lo up; ip addr add 10.88.0.5/24 dev eth0; ip link set eth0 up; ip route add default via 10.88.0.1; ip route add 224.0.0.0/4 dev eth0".into());
    // The outside knows the way back to the pods, so that a packet that was not rewritten arrives as well. It
    // has an address in the pod's subnet behind the node, to which the node routes.
    let outside = inner("out1", "ip link set lo up; ip addr add 192.0.2.2/24 dev out1; ip addr add 10.88.0.77/32 dev lo; ip link set out1 up; ip route add 10.88.0.0/24 via 192.0.2.1".into());
    run("ip route add 10.88.0.77/32 via 192.0.2.2; sysctl -qw net.ipv4.conf.pod0.proxy_arp=1");
    add(&mut node, &blue(), &pods(&["10.88.0.5/24"])).unwrap();

    let listen = |address: &str| UdpSocket::bind(address).unwrap();
    let seen_source = |to: &'static str, socket: UdpSocket| {
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        pod(Box::new(move || {
            let sender = UdpSocket::bind("10.88.0.5:0").unwrap();
            sender.send_to(b"x", to).unwrap();
            String::new()
        }));
        let (_, from) = socket.recv_from(&mut [0; 8]).unwrap();
        from.ip().to_string()
    };
    let (give, take) = std::sync::mpsc::channel();
    outside(Box::new(move || {
        give.send((UdpSocket::bind("192.0.2.2:7").unwrap(), UdpSocket::bind("10.88.0.77:7").unwrap()))
            .unwrap();
        String::new()
    }));
    let (beyond, within) = take.recv().unwrap();
    assert_eq!(seen_source("192.0.2.2:7", beyond), "192.0.2.1");
    assert_eq!(seen_source("10.88.0.77:7", within), "10.88.0.5");
    let local = listen("10.88.0.1:9");
    assert_eq!(seen_source("10.88.0.1:9", local), "10.88.0.5");

    let (give, take) = std::sync::mpsc::channel();
    outside(Box::new(move || {
        give.send(UdpSocket::bind("192.0.2.2:8").unwrap()).unwrap();
        String::new()
    }));
    remove(&mut node, &blue()).unwrap();
    assert_eq!(seen_source("192.0.2.2:8", take.recv().unwrap()), "10.88.0.5");
}
