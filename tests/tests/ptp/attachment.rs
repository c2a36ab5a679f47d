//! What ADD makes.

use serde_json::{Value, json};
use tests::config::{host_local, ptp};
use tests::{Look, Node, Pod, REFERENCE};

use crate::host_end;

/// The routes of a namespace, without those of link-local addresses.
fn routes(place: &impl Look) -> Vec<String> {
    let shown = place.look("ip route; ip -6 route");
    let routes = shown.lines().map(|line| line.trim().to_owned());
    routes.filter(|route| !route.starts_with("fe80")).collect()
}

#[test]
fn the_pod_reaches_its_own_subnet_by_the_gateway() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.call("ptp", &pod).add(&ptp(json!({})));
    assert_eq!(pod.addresses("eth0"), ["10.244.0.2/24", "fd00:244::2/64"]);
    assert_eq!(
        routes(&pod),
        [
            "default via 10.244.0.1 dev eth0",
            "10.244.0.0/24 via 10.244.0.1 dev eth0 src 10.244.0.2",
            "10.244.0.1 dev eth0 scope link src 10.244.0.2",
            "fd00:244::1 dev eth0 src fd00:244::2 metric 1024 pref medium",
            "fd00:244::/64 via fd00:244::1 dev eth0 src fd00:244::2 metric 1024 pref medium",
            "default via fd00:244::1 dev eth0 metric 1024 pref medium",
        ]
    );
}

#[test]
fn the_hosts_end_has_the_gateways_addresses_and_the_host_routes_to_the_pod() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let result = node.call("ptp", &pod).add(&ptp(json!({})));
    let name = host_end(&result);
    assert_eq!(node.addresses(&name), ["10.244.0.1/32", "fd00:244::1/128"]);
    let routes = routes(&node);
    for route in [format!("10.244.0.2 dev {name} scope host"), format!("fd00:244::2 dev {name} metric 1024")]
    {
        assert!(routes.iter().any(|shown| shown.starts_with(&route)), "{route}: {routes:?}");
    }
    let link = node.link(&name);
    assert_eq!(link["ifalias"], "weir container=c1 interface=eth0 network=pods");
    assert_eq!(
        (link["mtu"].as_u64(), link["address"].clone()),
        (Some(1500), result["interfaces"][0]["mac"].clone())
    );
    assert_eq!(node.sysctl("net/ipv4/ip_forward") + &node.sysctl("net/ipv6/conf/all/forwarding"), "11");
}

#[test]
fn every_address_is_usable_at_once() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let name = host_end(&node.call("ptp", &pod).add(&ptp(json!({}))));
    // The host looks for the pod from a link-local address, which must not be a tentative one either.
    assert!(node.look(&format!("ip -6 addr show dev {name} scope link")).contains("inet6 fe80::"));
    assert_eq!(node.look(&format!("ip -6 addr show dev {name} tentative")), "");
    assert_eq!(pod.look("ip -6 addr show dev eth0 scope global tentative"), "");
}

#[test]
fn what_the_pod_announces_is_no_route_of_the_host() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let name = host_end(&node.call("ptp", &pod).add(&ptp(json!({}))));
    assert_eq!(node.sysctl(&format!("net/ipv6/conf/{name}/accept_ra")), "0");
}

#[test]
fn the_keys_of_the_config_reach_the_pod_and_the_result() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let dns = json!({"nameservers": ["10.96.0.10"], "search": ["cluster.local"]});
    let result = node.call("ptp", &pod).add(&ptp(json!({"mtu": 1400, "dns": dns})));
    assert_eq!(result["dns"], dns);
    for link in [node.link(&host_end(&result)), pod.link("eth0")] {
        assert_eq!(link["mtu"], 1400);
    }
}

#[test]
fn a_config_that_cannot_be_used_is_refused_before_anything_is_made() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let before = node.fingerprint();
    for (changes, words) in [
        (json!({"ipam": {}}), "ipam.type: missing"),
        (json!({"mtu": 10}), "mtu: 10 is not between 68 and 65535"),
        (json!({"mtu": 1000}), "mtu: 1000 is less than 1280"),
    ] {
        let failure = node.call("ptp", &pod).verb("ADD", &ptp(changes)).unwrap_err();
        assert!(failure.message.contains(words) && failure.code == 7, "{failure:?}");
    }
    assert_eq!(node.fingerprint(), before);
    assert!(pod.links().is_empty());
}

#[test]
fn a_gateway_that_nothing_names_is_the_first_address_and_a_subnet_may_give_two() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let addresses = json!([{"address": "10.9.0.7/24"}, {"address": "10.9.0.8/24"}]);
    let config = ptp(json!({"ipam": {"type": "static", "addresses": addresses}}));
    let result = node.call("ptp", &pod).add(&config);
    assert_eq!(result["ips"][0]["gateway"], "10.9.0.1");
    assert_eq!(node.addresses(&host_end(&result)), ["10.9.0.1/32"]);
    for address in ["10.9.0.7", "10.9.0.8"] {
        assert!(node.look("ip route").contains(&format!("{address} dev ")));
    }
    assert!(pod.reaches("10.9.0.1", 56));
    node.call("ptp", &pod).check(&config, &result);
}

#[test]
fn an_ipam_plugin_that_is_executed_gives_the_addresses_too() {
    let (node, pod) = (Node::new().prefer(REFERENCE), Pod::new("c1"));
    let before = node.fingerprint();
    let call = node.call_in(node.bin(), "ptp", &pod);
    let result = call.add(&ptp(json!({})));
    assert_eq!(pod.addresses("eth0"), ["10.244.0.2/24", "fd00:244::2/64"]);
    assert!(pod.reaches("10.244.0.1", 56) && pod.reaches("fd00:244::1", 56));
    call.check(&ptp(json!({})), &result);
    call.del(&ptp(json!({})));
    assert_eq!(node.fingerprint(), before);
}

#[test]
fn ipv6_is_enabled_for_the_interface_of_a_pod_that_has_it_disabled() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    pod.look("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
    node.call("ptp", &pod).add(&ptp(json!({})));
    assert!(pod.reaches("fd00:244::1", 56) && pod.reaches("10.244.0.1", 56));
    assert!(pod.look("ip -6 route").contains("fd00:244::/64 via fd00:244::1"));
    assert!(pod.look("ip route").contains("10.244.0.0/24 via 10.244.0.1"));
}

#[test]
fn what_earlier_plugins_made_comes_behind() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let lo =
        node.call("loopback", &pod).add(&json!({"cniVersion": "1.0.0", "name": "pods", "type": "loopback"}));
    let result = node.call("ptp", &pod).add(&ptp(json!({"prevResult": lo})));
    let names: Vec<_> =
        result["interfaces"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(names[1..], ["eth0", "lo"]);
    assert_eq!(result["ips"].as_array().unwrap().len(), 2);
}

#[test]
fn a_second_add_is_refused_and_harms_nothing() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let config = ptp(json!({"ipMasq": true}));
    let result = node.call("ptp", &pod).add(&config);
    let (before, routes_before) = (node.fingerprint(), routes(&pod));
    node.call("ptp", &pod).verb("ADD", &config).unwrap_err();
    assert_eq!((node.fingerprint(), routes(&pod)), (before, routes_before));
    node.call("ptp", &pod).check(&config, &result);
}

#[test]
fn a_pod_may_have_interfaces_of_several_networks() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let result = node.call("ptp", &pod).add(&ptp(json!({})));
    let other = ptp(json!({"name": "others", "ipam": host_local(&["10.9.0.0/24"])}));
    let second = node.call("ptp", &pod).with("CNI_IFNAME", "net1");
    second.add(&other);
    assert!(pod.reaches("10.9.0.1", 56) && pod.reaches("10.244.0.1", 56));
    second.del(&other);
    assert_eq!(pod.links(), ["eth0"]);
    node.call("ptp", &pod).check(&ptp(json!({})), &result);
}

#[test]
fn a_failed_add_leaves_nothing() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let mut ipam = host_local(&["10.244.0.0/24"]);
    ipam["routes"] = json!([{"dst": "192.0.2.0/24", "gw": "10.9.9.9"}]);
    let before = node.fingerprint();
    for _ in 0..2 {
        let config = ptp(json!({"ipMasq": true, "ipam": ipam}));
        let failure = node.call("ptp", &pod).verb("ADD", &config).unwrap_err();
        assert!(failure.message.contains("10.9.9.9"), "{failure:?}");
        assert_eq!(node.fingerprint(), before);
        assert_eq!((pod.links(), failure.stderr), (Vec::<String>::new(), String::new()));
    }
}

#[test]
fn every_version_of_the_protocol_is_answered() {
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let result = node.call("ptp", &pod).add(&ptp(json!({"cniVersion": version})));
        assert_eq!(result["cniVersion"], version);
        assert!(pod.reaches("10.244.0.1", 56));
    }
    let versions: Value = Node::new().call("ptp", &Pod::new("c1")).verb("VERSION", &json!({})).unwrap();
    assert!(versions["supportedVersions"].as_array().unwrap().contains(&json!("1.1.0")));
}
