//! The messages on a real kernel, each test in a network namespace of its own (they need root), checked with `nft`.

use std::process::Command;

use linux::Family;
use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, unshare};

use super::*;

const TABLE: Table = Table { family: TableFamily::Inet, name: "test" };

fn namespace() -> Nftables {
    unshare(CloneFlags::CLONE_NEWNET).expect("kernel tests need root");
    Nftables::open().unwrap()
}

fn run(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The ruleset as `nft` prints it, one line for each object, without the indentation.
fn ruleset() -> Vec<String> {
    run("nft list ruleset").lines().map(|line| line.trim().to_owned()).collect()
}

fn assert_shown(lines: &[&str]) {
    let shown = ruleset();
    for line in lines {
        assert!(shown.iter().any(|shown| shown == line), "{line}\nis not in\n{}", shown.join("\n"));
    }
}

fn hooked(kind: ChainType, point: HookPoint, priority: i32, policy: Policy) -> Option<ChainHook<'static>> {
    Some(ChainHook { policy, ..ChainHook::new(kind, point, priority) })
}

fn comment(text: &str) -> UserData {
    UserData::of_comment(text)
}

/// A batch with the table and the chain `rules`.
fn with_chain(hook: Option<ChainHook<'_>>) -> Batch {
    let mut batch = Batch::new(TABLE);
    batch.add_table(TableState::Active, "a test");
    batch.add_chain(&Chain { name: "rules", hook, comment: "of a test" });
    batch
}

/// Returns rules as `nft` shows them, without their comments.
fn shown_rules(hook: Option<ChainHook<'_>>, rules: &[&dyn Fn(&mut Expressions<'_, '_>)]) -> Vec<String> {
    let mut nftables = namespace();
    let mut batch = with_chain(hook);
    batch.add_chain(&Chain { name: "other", hook: None, comment: "" });
    for rule in rules {
        batch.add_rule("rules", &comment("r"), |expressions| rule(expressions));
    }
    nftables.transact(batch).unwrap();
    ruleset().iter().filter_map(|line| line.strip_suffix(" comment \"r\"")).map(str::to_owned).collect()
}

#[test]
fn a_chain_has_any_hook_priority_and_policy() {
    let mut nftables = namespace();
    let mut batch = Batch::new(TABLE);
    batch.add_table(TableState::Active, "a test");
    for (name, kind, point, priority, policy) in [
        ("a", ChainType::Filter, HookPoint::Prerouting, -300, Policy::Accept),
        ("b", ChainType::Filter, HookPoint::Input, 0, Policy::Drop),
        ("c", ChainType::Filter, HookPoint::Forward, 7, Policy::Drop),
        ("d", ChainType::Nat, HookPoint::Output, libc::NF_IP_PRI_NAT_DST, Policy::Accept),
        ("e", ChainType::Nat, HookPoint::Postrouting, libc::NF_IP_PRI_NAT_SRC, Policy::Accept),
    ] {
        batch.create_chain(&Chain { name, hook: hooked(kind, point, priority, policy), comment: "" });
    }
    batch.add_chain(&Chain { name: "f", hook: None, comment: "reached by jumps" });
    let ingress = hooked(ChainType::Filter, HookPoint::Ingress, 0, Policy::Accept);
    let ingress = ingress.map(|hook| ChainHook { device: Some("lo"), ..hook });
    batch.add_chain(&Chain { name: "g", hook: ingress, comment: "" });
    nftables.transact(batch).unwrap();
    assert_shown(&[
        "type filter hook prerouting priority raw; policy accept;",
        "type filter hook input priority filter; policy drop;",
        "type filter hook forward priority filter + 7; policy drop;",
        "type nat hook output priority -100; policy accept;",
        "type nat hook postrouting priority srcnat; policy accept;",
        "comment \"reached by jumps\"",
        "type filter hook ingress device \"lo\" priority filter; policy accept;",
    ]);
    let mut names: Vec<String> =
        nftables.base_chains(TABLE).unwrap().into_iter().map(|chain| chain.name).collect();
    names.sort();
    assert_eq!(names, ["a", "b", "c", "d", "e", "g"]);
    assert!(nftables.has_chain(TABLE, "f").unwrap() && !nftables.has_chain(TABLE, "h").unwrap());
    let mut again = Batch::new(TABLE);
    again.create_chain(&Chain { name: "f", hook: None, comment: "" });
    assert!(nftables.transact(again).unwrap_err().is(Errno::EEXIST));
}

#[test]
fn rules_match_links_protocols_ports_marks_and_connections() {
    let bits = |bits: u32| bits.to_ne_bytes();
    let rules = shown_rules(
        None,
        &[
            &|rule| rule.is(Field::OutputLinkName, b"eth0\0\0\0\0\0\0\0\0\0\0\0\0"),
            &|rule| rule.is(Field::TransportProtocol, &[6]),
            &|rule| {
                rule.is(Field::TransportProtocol, &[17]);
                rule.load(&[Field::Port(Side::Destination)]);
                rule.is_between(&8000u16.to_be_bytes(), &8099u16.to_be_bytes());
            },
            &|rule| {
                rule.is(Field::TransportProtocol, &[6]);
                rule.load(&[Field::Port(Side::Source)]);
                rule.is_not_between(&1u16.to_be_bytes(), &1023u16.to_be_bytes());
            },
            &|rule| {
                rule.load(&[Field::Mark]);
                rule.mask(&bits(0x2000));
                rule.compare(Comparison::Equal, &bits(0x2000));
                rule.set_mark(7);
            },
            &|rule| {
                rule.load(&[Field::ConnectionState]);
                rule.mask(&bits(ct_state::ESTABLISHED | ct_state::RELATED));
                rule.compare(Comparison::Different, &bits(0));
                rule.decide(Verdict::Accept);
            },
            &|rule| {
                rule.load(&[Field::ConnectionState]);
                rule.mask(&bits(ct_state::INVALID | ct_state::NEW));
                rule.compare(Comparison::Different, &bits(0));
                rule.decide(Verdict::Drop);
            },
            &|rule| {
                rule.load(&[Field::ConnectionStatus]);
                rule.mask(&bits(ct_status::DESTINATION_NAT));
                rule.compare(Comparison::Different, &bits(0));
                rule.decide(Verdict::Return);
            },
            &|rule| {
                rule.load(&[Field::ConnectionStatus]);
                rule.mask(&bits(ct_status::SOURCE_NAT));
                rule.compare(Comparison::Different, &bits(0));
            },
            &|rule| {
                rule.is(Field::ConnectionDirection, &[1]);
                rule.decide(Verdict::Jump("other"));
            },
            &|rule| rule.is(Field::ConnectionMark, &bits(9)),
            &|rule| rule.is(Field::DestinationType, &bits(libc::RTN_LOCAL.into())),
        ],
    );
    assert_eq!(
        rules,
        [
            "oifname \"eth0\"",
            "meta l4proto tcp",
            "udp dport 8000-8099",
            "tcp sport != 1-1023",
            "meta mark & 0x00002000 == 0x00002000 meta mark set 0x00000007",
            "ct state established,related accept",
            "ct state invalid,new drop",
            "ct status dnat return",
            "ct status snat",
            "ct direction reply jump other",
            "ct mark 0x00000009",
            "fib daddr type local",
        ]
    );
}

#[test]
fn destinations_and_sources_are_rewritten_to_constants() {
    let destination = hooked(ChainType::Nat, HookPoint::Prerouting, -100, Policy::Accept);
    let rules = shown_rules(
        destination,
        &[
            &|rule| {
                rule.is_of_family(Family::V4);
                rule.is(Field::TransportProtocol, &[6]);
                rule.load_values(&[&[10, 1, 0, 7], &80u16.to_be_bytes()]);
                rule.nat(Nat::Destination, Family::V4, true);
            },
            &|rule| {
                rule.is_of_family(Family::V6);
                rule.is(Field::TransportProtocol, &[17]);
                rule.load_values(&[&octets("fd00::7".parse().unwrap()), &53u16.to_be_bytes()]);
                rule.nat(Nat::Destination, Family::V6, true);
            },
            &|rule| {
                rule.is_of_family(Family::V4);
                rule.load_values(&[&[10, 1, 0, 7]]);
                rule.nat(Nat::Destination, Family::V4, false);
            },
            &|rule| {
                rule.is(Field::TransportProtocol, &[6]);
                rule.load_values(&[&3128u16.to_be_bytes()]);
                rule.redirect();
            },
        ],
    );
    assert_eq!(
        rules,
        [
            "meta nfproto ipv4 meta l4proto tcp dnat ip to 10.1.0.7:80",
            "meta nfproto ipv6 meta l4proto udp dnat ip6 to [fd00::7]:53",
            "meta nfproto ipv4 dnat ip to 10.1.0.7",
            "meta l4proto tcp redirect to :3128",
        ]
    );
    let source = hooked(ChainType::Nat, HookPoint::Postrouting, 100, Policy::Accept);
    let rules = shown_rules(
        source,
        &[
            &|rule| {
                rule.is_of_family(Family::V4);
                rule.load_values(&[&[192, 0, 2, 1]]);
                rule.nat(Nat::Source, Family::V4, false);
            },
            &|rule| {
                rule.is_of_family(Family::V6);
                rule.load_values(&[&octets("2001:db8::1".parse().unwrap())]);
                rule.nat(Nat::Source, Family::V6, false);
            },
        ],
    );
    assert_eq!(
        rules,
        ["meta nfproto ipv4 snat ip to 192.0.2.1", "meta nfproto ipv6 snat ip6 to 2001:db8::1"]
    );
}

#[test]
fn one_rule_rewrites_destinations_by_a_map_of_address_protocol_and_port() {
    let mut nftables = namespace();
    let mut batch = with_chain(hooked(ChainType::Nat, HookPoint::Prerouting, -100, Policy::Accept));
    let key = &[DataType::IPV4_ADDRESS, DataType::PROTOCOL, DataType::PORT];
    let values = Values::Data(&[DataType::IPV4_ADDRESS, DataType::PORT]);
    batch.create_set(&Set { values, ..Set::new("ports", key, "host ports") });
    batch.add_rule("rules", &comment("r"), |rule| {
        rule.is(Field::DestinationType, &u32::from(libc::RTN_LOCAL).to_ne_bytes());
        rule.is_of_family(Family::V4);
        rule.load(&[
            Field::Address(Family::V4, Side::Destination),
            Field::TransportProtocol,
            Field::Port(Side::Destination),
        ]);
        rule.map("ports");
        rule.nat(Nat::Destination, Family::V4, true);
    });
    let key = [[192, 0, 2, 1], [6, 0, 0, 0], [0x1f, 0x90, 0, 0]].concat();
    let pod = [[10, 1, 0, 7], [0, 80, 0, 0]].concat();
    batch.create_element(&Element::new("ports", key).with_data(pod).with_user_data(&comment("c1")));
    nftables.transact(batch).unwrap();
    assert_shown(&[
        "type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service",
        "elements = { 192.0.2.1 . tcp . 8080 comment \"c1\" : 10.1.0.7 . 80 }",
        "fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @ports comment \"r\"",
    ]);
}

#[test]
fn sets_hold_ranges_of_one_field_and_of_several() {
    let mut nftables = namespace();
    let mut batch = with_chain(None);
    batch.create_set(&Set { has_ranges: true, ..Set::new("ports", &[DataType::PORT], "of one field") });
    let both = &[DataType::IPV4_ADDRESS, DataType::PORT];
    batch.create_set(&Set { has_ranges: true, ..Set::new("both", both, "of several") });
    batch.add_set(&Set::new("marks", &[DataType::MARK], "no ranges"));
    let port = |port: u16| port.to_be_bytes().to_vec();
    batch.add_ranges("ports", &[(port(80), Some(port(81))), (port(8000), Some(port(8100)))]);
    let first = Element::new("both", [[10, 0, 0, 0], [0, 80, 0, 0]].concat());
    batch.add_range_of_several(&first, &[[10, 0, 0, 255], [0, 90, 0, 0]].concat());
    batch.add_element(&Element::new("marks", 7u32.to_ne_bytes()));
    batch.add_rule("rules", &comment("r"), |rule| {
        rule.is(Field::TransportProtocol, &[6]);
        rule.is_of_family(Family::V4);
        rule.load(&[Field::Address(Family::V4, Side::Source), Field::Port(Side::Destination)]);
        rule.is_in("both");
        rule.decide(Verdict::Drop);
    });
    nftables.transact(batch).unwrap();
    assert_shown(&[
        "elements = { 80, 8000-8099 }",
        "elements = { 10.0.0.0/24 . 80-90 }",
        "elements = { 0x00000007 }",
        "ip saddr . tcp dport @both drop comment \"r\"",
    ]);
}

#[test]
fn a_dry_run_names_the_message_that_would_be_refused_and_changes_nothing() {
    let mut nftables = namespace();
    nftables.dry_run(with_chain(None)).unwrap();
    assert!(ruleset().is_empty());
    let mut batch = with_chain(None);
    let refused = batch.delete_element("no-such-set", &[1, 2, 3, 4]);
    let failed = nftables.dry_run(batch).unwrap_err();
    assert!(failed.is(Errno::ENOENT) && failed.message() == refused);
}

#[test]
fn a_rule_is_found_by_the_handle_that_the_kernel_told() {
    let mut nftables = namespace();
    let mut batch = with_chain(None);
    let address = Field::Address(Family::V4, Side::Source);
    for last in [1, 2] {
        batch.add_echoed_rule("rules", &UserData::empty(), |rule| {
            rule.load(&[address]);
            rule.compare(Comparison::Equal, &[10, 0, 0, last]);
            rule.count();
            rule.decide(Verdict::Accept);
        });
    }
    batch.insert_rule("rules", &comment("first"), |rule| rule.decide(Verdict::Drop));
    let handles = nftables.transact_for_handles(batch).unwrap();
    let in_order: Vec<_> =
        nftables.rules(TABLE, Some("rules")).unwrap().iter().map(|rule| rule.handle).collect();
    assert_eq!((handles.len(), &in_order[1..]), (2, &handles[..]));

    let found = nftables.rule(TABLE, "rules", handles[1]).unwrap().unwrap();
    assert!(found.accepts && !found.drops && found.user_data.is_empty());
    assert_eq!(found.network_field, Some((12, vec![10, 0, 0, 2])));
    assert_eq!(found.expressions, ["payload", "cmp", "counter", "immediate"]);
    let mut batch = Batch::new(TABLE);
    batch.delete_rule("rules", handles[1]);
    nftables.transact(batch).unwrap();
    assert_eq!(nftables.rule(TABLE, "rules", handles[1]).unwrap(), None);
    assert_eq!(nftables.rule(TABLE, "no chain", 1).unwrap(), None);
}

#[test]
fn a_dormant_table_is_recognised() {
    let mut nftables = namespace();
    assert_eq!(nftables.is_dormant(TABLE).unwrap(), None);
    for (state, is_dormant) in [
        (TableState::Dormant, true),
        (TableState::Unchanged, true),
        (TableState::Active, false),
        (TableState::Unchanged, false),
    ] {
        let mut batch = Batch::new(TABLE);
        batch.add_table(state, "a test");
        nftables.transact(batch).unwrap();
        assert_eq!(nftables.is_dormant(TABLE).unwrap(), Some(is_dormant), "{state:?}");
    }
}

/// The map of holders, the set that records, and the map of ports that comes and goes with a claim.
fn claimable(nftables: &mut Nftables) {
    let mut batch = with_chain(None);
    let digest = &[DataType::MARK; Digest::LEN / 4];
    batch.create_set(&Set::new("records", digest, "records"));
    let port = &[DataType::PORT];
    batch.create_set(&Set { values: Values::Data(digest), ..Set::new("holders", port, "holders") });
    let values = Values::Data(&[DataType::IPV4_ADDRESS]);
    batch.create_set(&Set { values, ..Set::new("ports", port, "ports") });
    nftables.transact(batch).unwrap();
}

fn claim(owner: Digest, port: u16, address: [u8; 4]) -> Claim {
    let key = port.to_be_bytes();
    Claim {
        holder: Element::new("holders", key).with_data(owner.0),
        elements: vec![Element::new("ports", key).with_data(address)],
    }
}

fn take(nftables: &mut Nftables, owner: Digest, claims: &[Claim]) -> Result<()> {
    let mut batch = Batch::new(TABLE);
    claims.iter().for_each(|claim| batch.take(claim));
    batch.create_element(&Element::new("records", owner.0));
    nftables.transact(batch)
}

#[test]
fn a_key_that_is_taken_refuses_the_whole_batch() {
    let mut nftables = namespace();
    claimable(&mut nftables);
    let (blue, red) = (Digest::of(&["blue"]), Digest::of(&["red"]));
    take(&mut nftables, blue, &[claim(blue, 80, [10, 1, 0, 7])]).unwrap();
    let both = [claim(red, 81, [10, 1, 0, 8]), claim(red, 80, [10, 1, 0, 8])];
    assert!(take(&mut nftables, red, &both).unwrap_err().is_conflict());
    assert_shown(&["elements = { 80 : 10.1.0.7 }"]);
}

#[test]
fn a_key_that_another_claimant_took_meanwhile_is_not_given_back() {
    let mut nftables = namespace();
    claimable(&mut nftables);
    let (blue, red) = (Digest::of(&["blue"]), Digest::of(&["red"]));
    let blues = [80, 81].map(|port| claim(blue, port, [10, 1, 0, 7]));
    take(&mut nftables, blue, &blues).unwrap();
    // Red takes port 80 over.
    let mut batch = Batch::new(TABLE);
    batch.give_back(&blues[0]);
    nftables.transact(batch).unwrap();
    take(&mut nftables, red, &[claim(red, 80, [10, 1, 0, 8])]).unwrap();
    nftables.give_back(TABLE, &Element::new("records", blue.0), blues.to_vec(), &[]).unwrap();
    assert_shown(&["elements = { 80 : 10.1.0.8 }"]);
    let records = nftables.elements(TABLE, "records", |element| Some(element.key().to_vec())).unwrap();
    assert_eq!(records, [red.0.to_vec()]);
}

#[test]
fn a_chain_is_deleted_with_the_claims_unless_it_was_replaced() {
    let mut nftables = namespace();
    claimable(&mut nftables);
    let blue = Digest::of(&["blue"]);
    let record = Element::new("records", blue.0);
    for is_remade in [false, true] {
        let claims = [claim(blue, 80, [10, 1, 0, 7])];
        take(&mut nftables, blue, &claims).unwrap();
        run("nft add chain inet test own; nft add rule inet test own accept");
        let handles = |rules: Vec<Rule>| rules.iter().map(|rule| rule.handle).collect();
        let rules = handles(nftables.rules(TABLE, Some("own")).unwrap());
        let found = FoundChain { table: TABLE, name: "own".into(), rules };
        if is_remade {
            run("nft flush chain inet test own; nft add rule inet test own accept");
        }
        nftables.give_back(TABLE, &record, claims.to_vec(), &[found]).unwrap();
        assert_eq!(nftables.has_chain(TABLE, "own").unwrap(), is_remade);
        assert_eq!(nftables.element(TABLE, "ports", &[0, 80], |_| ()).unwrap(), None);
    }
}
