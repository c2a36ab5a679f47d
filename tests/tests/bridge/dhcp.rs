//! IPAM plugins that need the interface: a real DHCP exchange by the reference's `dhcp`, and what the order is.

use serde_json::{Value, json};
use tests::config::{bridge, changed};
use tests::{DhcpServer, Look, Node, Pod, Process, REFERENCE, eventually, with_prev_result};

const SOCKET: &str = "/mnt/dhcp.sock";

fn config() -> Value {
    bridge(json!({"ipam": {"type": "dhcp", "daemonSocketPath": SOCKET}}))
}

/// A node with a DHCP server on the bridge, 10.5.0.1, and the daemon that asks it for the pods.
fn served() -> (Node, DhcpServer, Process) {
    let node = Node::new().prefer(REFERENCE);
    let bin = node.bin().to_owned();
    let node = node.prefer(bin);
    node.look(
        "ip link add cni0 address 02:00:00:00:05:01 type bridge; ip addr add 10.5.0.1/24 dev cni0; ip link set cni0 up",
    );
    let server = DhcpServer::start("cni0", [10, 5, 0, 1]);
    let daemon = Process::start(None, &format!("{REFERENCE}/dhcp daemon -socketpath {SOCKET}"));
    eventually("the daemon listens", || std::path::Path::new(SOCKET).exists());
    (node, server, daemon)
}

#[test]
fn a_pod_gets_a_lease_keeps_it_and_gives_it_back() {
    let (node, server, _daemon) = served();
    for id in ["c1", "c2"] {
        let pod = Pod::new(id);
        let call = node.call("bridge", &pod);
        let result = call.add(&config());
        let address = result["ips"][0]["address"].as_str().unwrap().to_owned();
        assert!(address.starts_with("10.5.0.") && address.ends_with("/24"), "{result}");
        assert_eq!(pod.addresses("eth0"), std::slice::from_ref(&address));
        assert_eq!(pod.link("eth0")["address"], result["interfaces"][2]["mac"]);
        assert!(pod.reaches("10.5.0.1", 56));
        call.check(&config(), &result);
        assert_eq!(server.released().len(), usize::from(id == "c2"));
        call.del(&with_prev_result(&config(), &result));
        assert!(pod.links().is_empty());
        let address = address.trim_end_matches("/24").parse().unwrap();
        eventually("the server gets the release", || server.released().last() == Some(&address));
    }
}

#[test]
fn a_failed_add_releases_the_lease_and_leaves_nothing() {
    let (node, server, _daemon) = served();
    let pod = Pod::new("c1");
    // Known only after the lease: the gateway's address is not the one that the bridge has.
    node.look("ip addr add 10.5.0.9/24 dev cni0; ip addr delete 10.5.0.1/24 dev cni0; ip addr add 10.5.0.1/32 dev cni0");
    let before = node.fingerprint();
    node.call("bridge", &pod).verb("ADD", &changed(&config(), json!({"isGateway": true}))).unwrap_err();
    assert!(pod.links().is_empty());
    assert_eq!(node.fingerprint(), before);
    eventually("the server gets the release", || server.released().len() == 1);
}

/// A node with an IPAM plugin that notes at each call what it finds of the pod's interface and its port.
fn looking() -> Node {
    Node::new().with_script(
        "looking",
        "cat > /dev/null; exec 2>/dev/null; \
         seen=$(nsenter --net=$CNI_NETNS ip -4 -o addr show dev $CNI_IFNAME | grep -c inet); \
         nsenter --net=$CNI_NETNS ip link show $CNI_IFNAME > /dev/null || seen=none; \
         ports=$(ip -o link show master cni0 up | grep -c veth); \
         echo \"$CNI_COMMAND $seen addresses, $ports ports\" >> /mnt/calls; \
         [ \"$CNI_COMMAND\" != ADD ] || echo '{\"cniVersion\": \"1.0.0\", \"ips\": [{\"address\": \"10.244.0.5/24\"}]}'",
    )
}

#[test]
fn an_executed_ipam_plugin_finds_the_interface_in_add_and_in_del() {
    let (node, pod) = (looking(), Pod::new("c1"));
    let config = bridge(json!({"macspoofchk": true, "ipam": {"type": "looking"}}));
    let call = node.call("bridge", &pod);
    let result = call.add(&config);
    call.check(&config, &result);
    let mac = pod.link("eth0")["address"].clone();
    call.del(&with_prev_result(&config, &result));
    let calls = "ADD 0 addresses, 1 ports\nCHECK 1 addresses, 1 ports\nDEL 0 addresses, 1 ports\n";
    assert_eq!(node.look("cat /mnt/calls"), calls);
    assert!(pod.links().is_empty());
    // The same attachment has the same hardware address again: a DHCP server knows it.
    call.add(&config);
    assert_eq!(pod.link("eth0")["address"], mac);
    // Without a namespace the pair goes first.
    node.call("bridge", &pod).with("CNI_NETNS", "").del(&config);
    assert!(node.look("cat /mnt/calls").ends_with("0 ports\n"));
}

#[test]
fn neighbours_hear_of_an_address_that_came_after_the_interface_was_up() {
    let node = Node::new().with_script(
        "raising",
        "[ \"$CNI_COMMAND\" != ADD ] || { nsenter --net=$CNI_NETNS ip link set $CNI_IFNAME up; \
         echo '{\"cniVersion\": \"1.0.0\", \"ips\": [{\"address\": \"10.244.0.5/24\"}]}'; }",
    );
    let config = bridge(json!({"ipam": {"type": "raising"}}));
    node.look(
        "ip link add cni0 type bridge; ip addr add 10.244.0.1/24 dev cni0; ip link set cni0 up; \
         sysctl -q -w net.ipv4.conf.cni0.arp_accept=1",
    );
    let pod = Pod::new("c1");
    let result = node.call("bridge", &pod).add(&config);
    let mac = result["interfaces"][2]["mac"].as_str().unwrap().to_owned();
    eventually("the announcement arrives", || node.look("ip neigh show dev cni0").contains(&mac));
}
