//! The bridge itself.

use serde_json::json;
use tests::config::{bridge, host_local};
use tests::{Look, Node, Pod};

const NO_MAC: &str = "00:00:00:00:00:00";

fn mac(node: &Node, link: &str) -> String {
    node.link(link)["address"].as_str().unwrap().to_owned()
}

#[test]
fn the_bridges_mac_stays_when_pods_come_and_go() {
    let node = Node::new();
    let config = bridge(json!({"isGateway": true}));
    let pods: Vec<_> = (0..5).map(|number| Pod::new(&format!("c{number}"))).collect();
    node.call("bridge", &pods[0]).add(&config);
    let first = mac(&node, "cni0");
    for pod in &pods[1..] {
        node.call("bridge", pod).add(&config);
        assert_eq!(mac(&node, "cni0"), first);
    }
    for pod in &pods {
        node.call("bridge", pod).del(&config);
        assert_eq!(mac(&node, "cni0"), first);
    }
    assert!(node.ports("cni0").is_empty());
    assert_ne!(first, NO_MAC);
}

#[test]
fn the_mac_stays_without_a_gateway_too() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.call("bridge", &pod).add(&bridge(json!({"ipam": null})));
    let first = mac(&node, "cni0");
    node.call("bridge", &pod).del(&bridge(json!({"ipam": null})));
    assert_eq!(mac(&node, "cni0"), first);
    assert_ne!(first, NO_MAC);
}

#[test]
fn a_bridge_made_by_hand_keeps_its_mac() {
    let node = Node::new();
    node.look("ip link add cni0 type bridge");
    let first = mac(&node, "cni0");
    let config = bridge(json!({"isGateway": true}));
    let pods: Vec<_> = (0..3).map(|number| Pod::new(&format!("c{number}"))).collect();
    pods.iter().for_each(|pod| drop(node.call("bridge", pod).add(&config)));
    assert_eq!(mac(&node, "cni0"), first);
    pods.iter().for_each(|pod| node.call("bridge", pod).del(&config));
    assert_eq!(mac(&node, "cni0"), first);
    assert_ne!(first, NO_MAC);
}

#[test]
fn a_bridge_that_is_down_is_brought_up() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.look("ip link add cni0 type bridge");
    node.call("bridge", &pod).add(&bridge(json!({"isGateway": true})));
    assert!(pod.reaches("10.244.0.1", 56));
}

#[test]
fn a_gateway_that_the_bridge_has_already_is_accepted() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.look("ip link add cni0 type bridge; ip addr add 10.244.0.1/24 dev cni0");
    node.call("bridge", &pod).add(&bridge(json!({"isGateway": true})));
    assert_eq!(node.addresses("cni0"), ["10.244.0.1/24"]);
}

#[test]
fn another_address_of_the_bridge_is_an_error_unless_it_may_be_replaced() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.look(
        "ip link add cni0 up type bridge; ip addr add 10.9.0.1/24 dev cni0; ip addr add fd00:9::1/64 dev cni0 nodad",
    );
    let before = node.fingerprint();
    let ipam = host_local(&["10.244.0.0/24", "fd00:9::/64"]);
    let config = |force: bool| {
        let mut ipam = ipam.clone();
        ipam["ranges"][1][0]["gateway"] = json!("fd00:9::fe");
        bridge(json!({"isGateway": true, "ipam": ipam, "forceAddress": force}))
    };
    let failure = node.call("bridge", &pod).verb("ADD", &config(false)).unwrap_err();
    for word in ["\"cni0\"", "10.244.0.1/24", "10.9.0.1/24", "forceAddress"] {
        assert!(failure.message.contains(word), "{failure:?}");
    }
    assert_eq!(node.addresses("cni0"), ["10.9.0.1/24", "fd00:9::1/64"]);
    assert_eq!(node.fingerprint(), before);

    node.call("bridge", &pod).add(&config(true));
    assert_eq!(node.addresses("cni0"), ["10.244.0.1/24", "fd00:9::fe/64"]);
}

#[test]
fn the_name_of_another_kind_of_link_is_an_error() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.look("ip link add cni0 type ifb");
    let before = node.fingerprint();
    for name in ["cni0", "lo"] {
        let failure = node.call("bridge", &pod).verb("ADD", &bridge(json!({"bridge": name}))).unwrap_err();
        assert!(failure.message.contains(&format!("{name:?}")), "{failure:?}");
        assert!(failure.message.contains("not a bridge"), "{failure:?}");
    }
    assert_eq!(node.fingerprint(), before);
}

#[test]
fn announcements_of_pods_do_not_become_routes_of_the_host() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.call("bridge", &pod).add(&bridge(json!({})));
    assert_eq!(node.sysctl("net/ipv6/conf/cni0/accept_ra"), "0");
}

#[test]
fn an_administrators_settings_of_the_bridge_stay() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.look(
        "ip link add cni0 mtu 1400 address 02:00:00:00:00:07 type bridge stp_state 1 forward_delay 200 \
         ageing_time 6000 mcast_snooping 0; \
         ip link set cni0 up alias 'the office' txqueuelen 77; \
         ip addr add 192.0.2.1/32 dev cni0 scope link; ip addr add fd00:9::1/64 dev cni0 nodad; \
         ip link add uplink0 type veth peer name uplink1; ip link set uplink0 up master cni0; ip link set uplink1 up",
    );
    let settings = || {
        let mut bridge = node.link("cni0");
        for timer in ["hello_timer", "tcn_timer", "topology_change_timer", "gc_timer"] {
            bridge["linkinfo"]["info_data"][timer].take();
        }
        (bridge, node.addresses("cni0"))
    };
    let before = settings();
    let config = bridge(json!({"mtu": 1300}));
    let call = node.call("bridge", &pod);
    let result = call.add(&config);
    assert_eq!(pod.link("eth0")["mtu"], 1300);
    call.check(&config, &result);
    call.del(&config);
    assert_eq!(settings(), before);
    assert_eq!(node.ports("cni0"), ["uplink0"]);
}

#[test]
fn addresses_of_other_subnets_stay_beside_the_gateways() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.look("ip link add cni0 up type bridge; ip addr add fd00:9::1/64 dev cni0 nodad");
    let config = bridge(json!({"isGateway": true, "ipam": host_local(&["10.244.0.0/24", "fd00:244::/64"])}));
    let call = node.call("bridge", &pod);
    let result = call.add(&config);
    call.check(&config, &result);
    let mut addresses = node.addresses("cni0");
    addresses.sort();
    assert_eq!(addresses, ["10.244.0.1/24", "fd00:244::1/64", "fd00:9::1/64"]);
}

/// A runtime calls STATUS every half second, and each change of links or nf_tables waits for others.
#[test]
fn status_of_a_network_in_use_tries_nothing_but_one_refused_link() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let config =
        bridge(json!({"cniVersion": "1.1.0", "isGateway": true, "ipMasq": true, "macspoofchk": true}));
    node.call("bridge", &pod).add(&config);
    let before = node.fingerprint();
    let traced = format!(
        "exec strace -f -qq -v -s 4096 -e trace=sendto,setns,unshare -o /mnt/trace {}/bridge",
        node.bin().display()
    );
    let node = node.with_script("traced", &traced);
    node.call("traced", &pod).verb("STATUS", &config).unwrap();
    let trace = std::fs::read_to_string("/mnt/trace").unwrap();
    assert_eq!(trace.matches("RTM_NEWLINK").count(), 1, "{trace}");
    for word in ["NFNL_MSG_BATCH_BEGIN", "setns", "unshare"] {
        assert!(!trace.contains(word), "{trace}");
    }
    assert_eq!(node.fingerprint(), before);
}

#[test]
fn status_of_a_new_node_undoes_no_transaction() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let config = bridge(json!({"cniVersion": "1.1.0", "ipMasq": true, "macspoofchk": true}));
    let words = "strace -f -qq -v -s 4096 -e trace=sendto -o /mnt/trace".split(' ').map(str::to_owned);
    let before = node.fingerprint();
    let status = node.call("bridge", &pod).executed_by(&words.collect::<Vec<_>>());
    status.verb("STATUS", &config).unwrap();
    let trace = std::fs::read_to_string("/mnt/trace").unwrap();
    // The kernel waits for a grace period to undo one.
    let count = |word: &str| trace.matches(word).count();
    assert_eq!(count("NFNL_MSG_BATCH_BEGIN"), count("NFNL_MSG_BATCH_END"), "{trace}");
    assert_eq!(node.fingerprint(), before);
}

#[test]
fn status_reports_that_another_link_has_the_bridges_name() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.look("ip link add cni0 type ifb");
    let failure =
        node.call("bridge", &pod).verb("STATUS", &bridge(json!({"cniVersion": "1.1.0"}))).unwrap_err();
    assert!(failure.message.contains("\"cni0\"") && failure.message.contains("not a bridge"), "{failure:?}");
}
