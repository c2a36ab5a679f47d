//! Rules beside the filters of other tools.

use super::*;
use crate::tc::End;
use crate::tc::tests::tc;
use crate::testing::namespace_with_veth;

fn all_but_some(to: u32, end: End) -> Vec<Rule> {
    let mut rules = vec![Rule::arp_passes()];
    rules.extend(Rule::neighbour_discovery_passes());
    for subnet in ["10.0.0.0/8", "192.168.7.9/32", "fd00:1:2::/44", "2001:db8::1/128", "0.0.0.0/0"] {
        rules.push(Rule::subnet(subnet.parse().unwrap(), end, None));
    }
    rules.push(Rule::everything(to));
    rules
}

#[test]
fn rules_read_back_at_both_hooks_and_go_again() {
    let (mut rtnetlink, veth) = namespace_with_veth();
    for (hook, end) in [(Hook::Ingress, End::Destination), (Hook::Egress, End::Source)] {
        let rules = all_but_some(1, end);
        let is_first = hook == Hook::Ingress;
        assert_eq!(rtnetlink.set_rules(veth.index, hook, &rules).unwrap(), is_first, "made clsact");
        assert!(!rtnetlink.set_rules(veth.index, hook, &rules).unwrap());
        let shown = rtnetlink.rules(veth.index, hook).unwrap();
        assert_eq!(shown.len(), rules.len());
        assert!(rules.iter().all(|rule| shown.contains(rule)), "{shown:?}");
    }
    rtnetlink.delete_rules(veth.index, Hook::Ingress).unwrap();
    assert_eq!(rtnetlink.rules(veth.index, Hook::Ingress).unwrap(), []);
    assert_eq!(rtnetlink.rules(veth.index, Hook::Egress).unwrap().len(), 10);
    rtnetlink.delete_rules(veth.index, Hook::Egress).unwrap();
    rtnetlink.delete_rules(veth.index, Hook::Egress).unwrap();
    for hook in ["ingress", "egress"] {
        assert_eq!(tc(&format!("filter show dev host0 {hook}")), "", "no empty preference is left");
    }
}

#[test]
fn tc_shows_the_same_matches() {
    let (mut rtnetlink, veth) = namespace_with_veth();
    rtnetlink.set_rules(veth.index, Hook::Ingress, &all_but_some(1, End::Destination)).unwrap();
    let shown = tc("filter show dev host0 ingress");
    for expected in [
        "protocol arp pref 61437 u32",
        "protocol ip pref 61438 u32",
        "match 0a000000/ff000000 at 16",
        "match c0a80709/ffffffff at 16",
        "protocol ipv6 pref 61439 u32",
        "match fd000001/ffffffff at 24",
        "match 00000000/fff00000 at 28",
        "match 00003a00/0000ff00 at 4",
        "match 85000000/ff000000 at 40",
        "protocol all pref 61440 u32",
    ] {
        assert!(shown.contains(expected), "{expected} is not in:\n{shown}");
    }
    assert_eq!(shown.matches("Egress Redirect to device lo").count(), 1);
}

/// Adds the filter of the reference plugin.
const REFERENCE_FILTER: &str =
    "protocol all pref 1 u32 match u32 0 0 flowid 1:1 action mirred egress redirect dev lo";

#[test]
fn the_filters_of_others_stay_and_a_hook_is_shared() {
    for (qdisc, parent) in [("ingress", "parent ffff:"), ("clsact", "ingress")] {
        let (mut rtnetlink, veth) = namespace_with_veth();
        tc(&format!("qdisc add dev host0 {qdisc}"));
        tc(&format!("filter add dev host0 {parent} {REFERENCE_FILTER}"));
        assert_eq!(rtnetlink.rules(veth.index, Hook::Ingress).unwrap(), []);
        let everything = [Rule::everything(veth.index)];
        assert!(!rtnetlink.set_rules(veth.index, Hook::Ingress, &everything).unwrap(), "{qdisc} is theirs");
        assert_eq!(rtnetlink.rules(veth.index, Hook::Ingress).unwrap(), everything);
        assert_eq!(rtnetlink.redirects(veth.index, Hook::Ingress).unwrap(), [1, veth.index]);
        rtnetlink.delete_rules(veth.index, Hook::Ingress).unwrap();
        assert_eq!(rtnetlink.redirects(veth.index, Hook::Ingress).unwrap(), [1]);
    }
}

#[test]
fn an_ingress_qdisc_of_others_has_no_egress_hook() {
    let (mut rtnetlink, veth) = namespace_with_veth();
    tc("qdisc add dev host0 ingress");
    let refused = rtnetlink.set_rules(veth.index, Hook::Egress, &[Rule::everything(1)]).unwrap_err();
    assert!(refused.to_string().contains("the egress hook of host0: its ingress qdisc"), "{refused}");
    assert_eq!(rtnetlink.rules(veth.index, Hook::Egress).unwrap(), []);
}

#[test]
fn everything_is_one_filter_with_our_handle() {
    let (mut rtnetlink, veth) = namespace_with_veth();
    rtnetlink.set_rules(veth.index, Hook::Ingress, &[Rule::everything(1)]).unwrap();
    let shown = tc("filter show dev host0 ingress");
    for expected in [
        "protocol all pref 61440 u32 chain 0 fh 800::1fb",
        "flowid 1:1",
        "match 00000000/00000000 at 0",
        "mirred (Egress Redirect to device lo) stolen",
    ] {
        assert!(shown.contains(expected), "{expected} is not in:\n{shown}");
    }
}

#[test]
fn rules_of_ours_that_lead_elsewhere_are_replaced() {
    let (mut rtnetlink, veth) = namespace_with_veth();
    rtnetlink.set_rules(veth.index, Hook::Ingress, &all_but_some(1, End::Destination)).unwrap();
    for to in [1, 1, veth.index] {
        rtnetlink.set_rules(veth.index, Hook::Ingress, &[Rule::everything(to)]).unwrap();
        assert_eq!(rtnetlink.rules(veth.index, Hook::Ingress).unwrap(), [Rule::everything(to)]);
    }
}

#[test]
fn deleting_absent_rules_is_not_an_error() {
    let (mut rtnetlink, veth) = namespace_with_veth();
    rtnetlink.delete_rules(veth.index, Hook::Ingress).unwrap();
    rtnetlink.delete_rules(veth.index, Hook::Egress).unwrap();
    rtnetlink.delete_rules(4711, Hook::Ingress).unwrap();
}

#[test]
fn rules_added_before_a_refusal_are_deleted_and_nothing_else() {
    let (mut rtnetlink, veth) = namespace_with_veth();
    let mut fails = |hook| {
        let error = rtnetlink.set_rules(veth.index, hook, &all_but_some(4711, End::Source)).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::ENODEV), "{error}");
        assert!(error.to_string().contains("hook of host0"), "{error}");
        assert!(rtnetlink.has_mirred(), "mirred is not missing");
    };
    for hook in [Hook::Ingress, Hook::Egress] {
        fails(hook);
        assert!(!tc("qdisc show dev host0").contains("clsact"));
    }
    tc("qdisc add dev host0 clsact");
    for hook in [Hook::Ingress, Hook::Egress] {
        fails(hook);
        assert_eq!(tc(&format!("filter show dev host0 {hook}")), "");
    }
    assert!(tc("qdisc show dev host0").contains("clsact"), "it was there before");
}

#[test]
fn too_many_rules_are_refused_before_any_is_made() {
    let (mut rtnetlink, veth) = namespace_with_veth();
    let subnets = (0..=RULES_MAX).map(|number| std::net::Ipv4Addr::from(number << 8));
    let rules: Vec<_> =
        subnets.map(|subnet| Rule::subnet(std::net::IpAddr::V4(subnet).into(), End::Source, None)).collect();
    let error = rtnetlink.set_rules(veth.index, Hook::Ingress, &rules).unwrap_err();
    assert!(error.to_string().contains("1792 rules") && error.to_string().contains("host0"), "{error}");
    assert_eq!(rtnetlink.hook_kind(veth.index).unwrap(), None);
}
