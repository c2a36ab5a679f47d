//! Addresses and routes of the pod, and the bridge as its gateway.

use serde_json::json;
use tests::config::{bridge, host_local};
use tests::{Look, Node, Pod};

/// The routes of a namespace as `ip` shows them, of every table, without those that the kernel adds.
fn routes(pod: &Pod, family: &str) -> Vec<String> {
    let shown = pod.look(&format!("ip {family} route show table all type unicast"));
    let given = shown.lines().filter(|line| !line.contains("proto kernel") && !line.starts_with("fe80::"));
    given.map(|line| line.trim().to_owned()).collect()
}

#[test]
fn a_gateway_is_an_address_of_the_bridge_and_forwards() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.call("bridge", &pod).add(&bridge(json!({"isGateway": true})));
    assert_eq!(node.addresses("cni0"), ["10.244.0.1/24"]);
    assert!(routes(&pod, "-4").is_empty());
    assert_eq!(node.sysctl("net/ipv4/ip_forward"), "1");
    assert_eq!(node.sysctl("net/ipv6/conf/all/forwarding"), "0");
    assert!(pod.reaches("10.244.0.1", 56));
}

#[test]
fn a_default_gateway_is_one_with_a_default_route() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let result = node.call("bridge", &pod).add(&bridge(json!({"isDefaultGateway": true})));
    assert_eq!(node.addresses("cni0"), ["10.244.0.1/24"]);
    assert_eq!(routes(&pod, "-4"), ["default via 10.244.0.1 dev eth0"]);
    assert_eq!(result["routes"], json!([{"dst": "0.0.0.0/0", "gw": "10.244.0.1"}]));
}

#[test]
fn without_a_gateway_the_bridge_has_no_address_and_nothing_is_forwarded() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let forwarding = node.sysctl("net/ipv4/ip_forward");
    node.call("bridge", &pod).add(&bridge(json!({})));
    assert!(node.addresses("cni0").is_empty());
    assert_eq!(node.sysctl("net/ipv4/ip_forward"), forwarding);
}

#[test]
fn a_gateway_that_ipam_names_is_the_bridges_address() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let mut ipam = host_local(&["10.244.0.0/24"]);
    ipam["ranges"][0][0]["gateway"] = json!("10.244.0.254");
    node.call("bridge", &pod).add(&bridge(json!({"isDefaultGateway": true, "ipam": ipam})));
    assert_eq!(node.addresses("cni0"), ["10.244.0.254/24"]);
    assert_eq!(routes(&pod, "-4"), ["default via 10.244.0.254 dev eth0"]);
}

#[test]
fn an_invalid_gateway_fails_the_add_and_leaves_nothing() {
    for (subnet, gateway) in [
        ("10.244.0.0/24", "fd00::1"),
        ("fd00:244::/64", "10.244.0.1"),
        ("10.244.0.0/24", "192.168.1.1"),
        ("fd00:244::/64", "fd00:245::1"),
        ("10.244.0.0/24", "0.0.0.0"),
        ("fd00:244::/64", "::"),
        ("10.244.0.0/24", "224.0.0.1"),
        ("10.244.0.0/24", "10.244.0.0"),
        ("10.244.0.0/24", "10.244.0.255"),
    ] {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let before = node.fingerprint();
        let mut ipam = host_local(&[subnet]);
        ipam["ranges"][0][0]["gateway"] = json!(gateway);
        let config = bridge(json!({"isGateway": true, "ipam": ipam}));
        let failure = node.call("bridge", &pod).verb("ADD", &config).unwrap_err();
        assert_eq!(failure.code, 7, "{failure:?}");
        for word in ["ipam.gateway", gateway] {
            assert!(failure.message.contains(word), "{gateway}: {failure:?}");
        }
        assert!(pod.links().is_empty());
        assert_eq!(node.fingerprint(), before, "{gateway}");
    }
}

#[test]
fn a_gateway_that_is_the_pods_own_address_is_refused() {
    let ipam = r#"cat > /dev/null; echo '{"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.7/24", "gateway": "10.1.0.7"}]}'"#;
    let (node, pod) = (Node::new().with_script("fixed", ipam), Pod::new("c1"));
    let config = bridge(json!({"isGateway": true, "ipam": {"type": "fixed"}}));
    let failure = node.call("bridge", &pod).verb("ADD", &config).unwrap_err();
    assert!(failure.message.contains("10.1.0.7") && failure.message.contains("own"), "{failure:?}");
}

#[test]
fn an_unspecified_gateway_counts_as_none_where_the_bridge_is_not_the_gateway() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let mut ipam = host_local(&["10.244.0.0/24", "fd00:244::/64"]);
    ipam["ranges"][0][0]["gateway"] = json!("0.0.0.0");
    ipam["ranges"][1][0]["gateway"] = json!("::");
    ipam["routes"] = json!([{"dst": "192.0.2.0/24"}, {"dst": "0.0.0.0/0", "gw": "0.0.0.0"}]);
    let config = bridge(json!({"ipam": ipam}));
    let result = node.call("bridge", &pod).add(&config);
    assert_eq!(result["ips"][0].get("gateway"), None);
    let mut found = routes(&pod, "-4");
    found.sort();
    assert_eq!(found, ["192.0.2.0/24 dev eth0 scope link", "default dev eth0 scope link"]);
    node.call("bridge", &pod).check(&config, &result);
}

#[test]
fn a_subnet_that_another_interface_of_the_node_has_is_noted_once() {
    for (address, subnet, noted) in [
        ("10.244.0.77/24", "10.244.0.0/24", true),
        ("10.244.0.1/32", "10.244.0.0/24", true),
        ("fd00:244::77/64", "fd00:244::/64", true),
        ("10.0.0.77/8", "10.244.0.0/24", false),
        ("192.168.0.1/24", "10.244.0.0/24", false),
    ] {
        let node = Node::new();
        node.look(&format!("ip link add lan up type bridge; ip addr add {address} dev lan nodad"));
        let config = bridge(json!({"isGateway": true, "ipam": host_local(&[subnet])}));
        for (id, is_first) in [("c1", true), ("c2", false)] {
            let pod = Pod::new(id);
            let output = node.call("bridge", &pod).raw("ADD", &config.to_string());
            assert!(output.status.success(), "{output:?}");
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(
                stderr.contains("\"lan\"") && stderr.contains(subnet),
                noted && is_first,
                "{address}: {stderr}"
            );
        }
    }
}

#[test]
fn an_mtu_that_ipv6_cannot_have_is_named() {
    let node = Node::new();
    let before = node.fingerprint();
    let pod = Pod::new("c1");
    let ipam = host_local(&["10.244.0.0/24", "fd00:244::/64"]);
    for is_gateway in [true, false] {
        let config = bridge(json!({"isGateway": is_gateway, "mtu": 1279, "ipam": ipam}));
        let failure = node.call("bridge", &pod).verb("ADD", &config).unwrap_err();
        for word in ["mtu: 1279", "1280", "fd00:244::"] {
            assert!(failure.message.contains(word), "{failure:?}");
        }
        assert_eq!(failure.code, 7);
        assert_eq!(node.fingerprint(), before);
    }
    node.look("ip link add cni0 mtu 1000 up type bridge");
    let config = bridge(json!({"isGateway": true, "mtu": 1280, "ipam": ipam}));
    let failure = node.call("bridge", &pod).verb("ADD", &config).unwrap_err();
    for word in ["\"cni0\"", "1000", "1280", "fd00:244::1/64"] {
        assert!(failure.message.contains(word), "{failure:?}");
    }
    node.look("ip link set cni0 mtu 1280");
    node.call("bridge", &pod).add(&config);
    assert!(pod.reaches("fd00:244::1", 56));
}

#[test]
fn an_mtu_of_zero_or_less_is_the_kernels_choice() {
    for mtu in [0, -1] {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        node.call("bridge", &pod).add(&bridge(json!({"mtu": mtu})));
        assert_eq!(pod.link("eth0")["mtu"], 1500);
    }
}

#[test]
fn ipv6_alone_works() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let config = bridge(json!({"isDefaultGateway": true, "ipam": host_local(&["fd00:244::/64"])}));
    let call = node.call("bridge", &pod);
    let result = call.add(&config);
    assert_eq!(pod.addresses("eth0"), ["fd00:244::2/64"]);
    assert_eq!(node.addresses("cni0"), ["fd00:244::1/64"]);
    assert!(routes(&pod, "-6").iter().any(|route| route.starts_with("default via fd00:244::1 dev eth0")));
    assert_eq!(node.sysctl("net/ipv6/conf/all/forwarding"), "1");
    assert_eq!(node.sysctl("net/ipv4/ip_forward"), "0");
    assert!(pod.reaches("fd00:244::1", 56));
    call.check(&config, &result);
    call.del(&config);
}

#[test]
fn both_families_are_usable_when_add_returns() {
    let node = Node::new();
    let config =
        bridge(json!({"isDefaultGateway": true, "ipam": host_local(&["10.244.0.0/24", "fd00:244::/64"])}));
    for number in 0..5 {
        let pod = Pod::new(&format!("c{number}"));
        node.call("bridge", &pod).add(&config);
        assert_eq!(pod.look("ip -6 addr show scope global tentative"), "");
        assert!(pod.reaches("fd00:244::1", 56) && pod.reaches("10.244.0.1", 56));
    }
    assert_eq!(node.addresses("cni0"), ["10.244.0.1/24", "fd00:244::1/64"]);
}

#[test]
fn an_address_that_is_probed_first_is_usable_when_add_returns() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let ipam = host_local(&["fd00:244::/64"]);
    node.call("bridge", &pod).add(&bridge(json!({"isGateway": true, "enabledad": true, "ipam": ipam})));
    assert_eq!(pod.look("ip -6 addr show tentative"), "");
    assert!(!pod.look("ip -6 addr show scope global").contains("nodad"));
    assert!(pod.reaches("fd00:244::1", 56));
}

#[test]
fn an_address_that_another_pod_has_is_found_by_probing() {
    let (node, other, pod) = (Node::new(), Pod::new("other"), Pod::new("c1"));
    node.call("bridge", &other).add(&bridge(json!({"ipam": null})));
    other.look("ip addr add fd00:244::2/64 dev eth0 nodad");
    let before = node.fingerprint();

    let ipam = host_local(&["fd00:244::/64"]);
    let config = bridge(json!({"enabledad": true, "ipam": ipam}));
    let failure = node.call("bridge", &pod).verb("ADD", &config).unwrap_err();
    assert!(
        failure.message.contains("fd00:244::2") && failure.message.contains("already used"),
        "{failure:?}"
    );
    assert_eq!(node.fingerprint(), before);
    assert!(pod.links().is_empty());
}

#[test]
fn routes_are_set_with_all_their_fields() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let mut ipam = host_local(&["10.244.0.0/24"]);
    let given = json!([
        {"dst": "192.0.2.0/24", "gw": "10.244.0.9", "mtu": 1400, "advmss": 1300, "priority": 50, "table": 100},
        {"dst": "198.51.100.0/24", "scope": 253},
        {"dst": "203.0.113.0/24", "priority": 7, "table": 5000},
    ]);
    ipam["routes"] = given.clone();
    let call = node.call("bridge", &pod);
    let config = bridge(json!({"isGateway": true, "ipam": ipam}));
    let result = call.add(&config);
    assert_eq!(result["routes"], given);
    let mut found = routes(&pod, "-4");
    found.sort();
    assert_eq!(
        found,
        [
            "192.0.2.0/24 via 10.244.0.9 dev eth0 table 100 metric 50 mtu 1400 advmss 1300",
            "198.51.100.0/24 dev eth0 scope link",
            "203.0.113.0/24 via 10.244.0.1 dev eth0 table 5000 metric 7",
        ]
    );
    call.check(&config, &result);
}

#[test]
fn a_route_with_an_unreachable_next_hop_fails_the_add_with_its_name() {
    let (node, other, pod) = (Node::new(), Pod::new("other"), Pod::new("c1"));
    node.call("bridge", &other).add(&bridge(json!({})));
    let before = node.fingerprint();
    let mut ipam = host_local(&["10.244.0.0/24"]);
    ipam["routes"] = json!([{"dst": "192.0.2.0/24", "gw": "10.99.0.1"}]);
    let failure = node.call("bridge", &pod).verb("ADD", &bridge(json!({"ipam": ipam}))).unwrap_err();
    for words in ["192.0.2.0/24 via 10.99.0.1", "10.244.0.3/24"] {
        assert!(failure.message.contains(words), "{failure:?}");
    }
    assert_eq!(node.fingerprint(), before);
}

#[test]
fn a_pod_with_ipv6_disabled_by_default_gets_its_address() {
    // The setting of container runtimes and hardened nodes.
    let (node, pod) = (Node::new(), Pod::new("c1"));
    pod.look("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
    let ipam = host_local(&["10.244.0.0/24", "fd00:244::/64"]);
    node.call("bridge", &pod).add(&bridge(json!({"isDefaultGateway": true, "ipam": ipam})));
    assert_eq!(pod.addresses("eth0"), ["10.244.0.2/24", "fd00:244::2/64"]);
    assert!(pod.reaches("fd00:244::1", 56));
}

#[test]
fn a_node_without_ipv6_is_named() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.look("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
    let ipam = host_local(&["10.244.0.0/24", "fd00:244::/64"]);
    let config = bridge(json!({"isDefaultGateway": true, "ipam": ipam}));
    let failure = node.call("bridge", &pod).verb("ADD", &config).unwrap_err();
    assert!(
        failure.message.contains("fd00:244::1/64") && failure.message.contains("IPv6 is disabled"),
        "{failure:?}"
    );
    assert!(pod.links().is_empty());
}

#[test]
fn two_subnets_of_one_family_have_a_gateway_each() {
    let node = Node::new();
    let config = bridge(json!({"isGateway": true, "ipam": host_local(&["10.1.0.0/24", "10.2.0.0/24"])}));
    for id in ["c1", "c2"] {
        let pod = Pod::new(id);
        let result = node.call("bridge", &pod).add(&config);
        assert!(pod.reaches("10.1.0.1", 56) && pod.reaches("10.2.0.1", 56));
        node.call("bridge", &pod).check(&config, &result);
    }
    assert_eq!(node.addresses("cni0"), ["10.1.0.1/24", "10.2.0.1/24"]);
}

#[test]
fn a_route_with_another_next_hop_stands_beside_the_one_that_is_there() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let mut ipam = host_local(&["10.244.0.0/24"]);
    ipam["routes"] = json!([
        {"dst": "10.244.0.0/24", "gw": "10.244.0.1"},
        {"dst": "0.0.0.0/0", "gw": "10.244.0.1"},
        {"dst": "0.0.0.0/0", "gw": "10.244.0.9"},
    ]);
    let config = bridge(json!({"isGateway": true, "ipam": ipam}));
    let call = node.call("bridge", &pod);
    let result = call.add(&config);
    let mut shown = routes(&pod, "-4");
    shown.sort();
    assert_eq!(
        shown,
        [
            "10.244.0.0/24 via 10.244.0.1 dev eth0",
            "default via 10.244.0.1 dev eth0",
            "default via 10.244.0.9 dev eth0"
        ]
    );
    call.check(&config, &result);
}

#[test]
fn add_succeeds_with_a_read_only_proc_sys() {
    let node = Node::new();
    node.look("sysctl -q -w net.ipv4.ip_forward=1; mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys");
    for name in ["c1", "c2"] {
        let pod = Pod::new(name);
        node.call("bridge", &pod).add(&bridge(json!({"isGateway": true})));
        assert!(pod.reaches("10.244.0.1", 56));
    }
}

#[test]
fn add_fails_when_the_interface_vanishes_during_duplicate_detection() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let config = bridge(json!({"enabledad": true, "ipam": host_local(&["fd00:244::/64"])}));
    let before = node.fingerprint();
    let running = node.call("bridge", &pod).start("ADD", &config);
    // A socket that gets the events of IPv6 addresses (RTNLGRP_IPV6_IFADDR).
    tests::eventually("ADD waits for the address", || {
        pod.look("cat /proc/net/netlink").contains(" 00000100 ")
    });
    pod.look("ip link delete eth0");
    let failure = running.answer().unwrap_err();
    assert!(failure.message.contains("address"), "{failure:?}");
    assert_eq!(node.look("find /var/lib -name 'fd00*'"), "");
    assert_eq!(node.ports("cni0"), Vec::<String>::new(), "{before}");
}

/// A kernel before 4.20 does not know the socket options: dumps are not filtered, refusals have no sentence.
#[test]
fn a_kernel_without_the_newer_options_of_sockets_serves_as_well() {
    let node = Node::new();
    let plugin = node.bin().join("bridge");
    let script = format!(
        "exec strace -f -qq -o /dev/null -e inject=setsockopt:error=ENOPROTOOPT {}",
        plugin.display()
    );
    let (node, pod, other) = (node.with_script("old-bridge", &script), Pod::new("c1"), Pod::new("c2"));
    let mut ipam = host_local(&["10.244.0.0/24"]);
    ipam["routes"] = json!([{"dst": "192.0.2.0/24"}]);
    let config = bridge(json!({"isDefaultGateway": true, "ipMasq": true, "ipam": ipam}));
    for pod in [&other, &pod] {
        let call = node.call("old-bridge", pod);
        let result = call.add(&config);
        call.check(&config, &result);
        assert!(pod.reaches("10.244.0.1", 56));
    }
    let call = node.call("old-bridge", &pod);
    call.del(&config);
    assert!(pod.links().is_empty());
}
