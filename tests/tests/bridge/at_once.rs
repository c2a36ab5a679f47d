//! The state at the moment when ADD returns, also where the kernel's work queues had no time yet.

use serde_json::{Value, json};
use tests::config::{bridge, host_local};
use tests::{Look, Node, Pod};

/// Executes these commands before and after the plugin. Those after it see the node before any work queue of their CPU
/// gets a turn: all of it runs in real time. `$port` is the host's end.
fn looking_at_once(node: Node, before: &str, after: &str) -> Node {
    let plugin = node.bin().join("bridge");
    node.look("mount -t sysfs sysfs /sys");
    let script = format!(
        "exec chrt -f 10 taskset -c 0 sh -c '
            {before}
            {} > /mnt/answer || {{ cat /mnt/answer; exit 1; }}
            port=$(sed -n \"s/.*\\\"name\\\": \\\"\\(veth[^\\\"]*\\)\\\".*/\\1/p\" /mnt/answer)
            {after}
            cat /mnt/answer'",
        plugin.display()
    );
    node.with_script("bridge", &script)
}

fn dual_stack() -> Value {
    bridge(json!({"isDefaultGateway": true, "ipam": host_local(&["10.244.0.0/24", "fd00:244::/64"])}))
}

#[test]
fn the_host_end_carries_packets() {
    let look = "read state < /sys/class/net/$port/operstate; echo $state >> /mnt/states";
    let node = looking_at_once(Node::new(), "", look);
    for (round, config) in [bridge(json!({})), bridge(json!({"ipam": null})), dual_stack()].iter().enumerate()
    {
        for number in 0..10 {
            // The kernel removes the pairs of the round before by and by.
            node.call("bridge", &Pod::new(&format!("c{round}-{number}"))).add(config);
        }
        let states = std::fs::read_to_string("/mnt/states").unwrap();
        assert_eq!(states, "up\n".repeat(10), "{config}");
        node.look("rm -rf /mnt/states /var/lib/cni");
    }
}

#[test]
fn neighbours_can_ask_for_the_ipv6_address() {
    let look = "nsenter --net=$CNI_NETNS cat /proc/net/igmp6 > /mnt/groups";
    let node = looking_at_once(Node::new(), "", look);
    for number in 2..12 {
        let pod = Pod::new(&format!("c{number}"));
        node.call("bridge", &pod).add(&dual_stack());
        let groups = std::fs::read_to_string("/mnt/groups").unwrap();
        assert!(groups.contains(&format!("ff0200000000000000000001ff{number:06x}")), "{number}: {groups}");
    }
}

/// A frame to all takes a bridge with hundreds of ports milliseconds, within which no other link is changed.
#[test]
fn hardly_a_frame_reached_the_pods_that_are_there() {
    let (node, other) = (Node::new(), Pod::new("other"));
    node.call("bridge", &other).add(&dual_stack());
    let count = format!("$(cat /sys/class/net/{}/statistics/tx_packets)", node.ports("cni0")[0]);
    let (before, after) = (format!("before={count}"), format!("echo $(({count} - $before)) >> /mnt/frames"));
    let bin = node.bin().to_owned();
    let node = looking_at_once(node, &before, &after);
    for number in 0..5 {
        let pod = Pod::new(&format!("c{number}"));
        node.call("bridge", &pod).add(&dual_stack());
        node.call_in(&bin, "bridge", &pod).del(&dual_stack());
    }
    let frames = std::fs::read_to_string("/mnt/frames").unwrap();
    let most = frames.lines().map(|count| count.parse::<u32>().unwrap()).max();
    assert!(most <= Some(2), "{frames}");
}

#[test]
fn both_sides_reach_each_other_whatever_the_bridge_snoops() {
    for settings in ["", "mcast_snooping 0", "mcast_querier 1"] {
        let (node, neighbour) = (Node::new(), Pod::new("neighbour"));
        node.look(&format!("ip link add cni0 type bridge {settings}"));
        node.call("bridge", &neighbour).add(&dual_stack());
        for number in 0..3 {
            let pod = Pod::new(&format!("c{number}"));
            let result = node.call("bridge", &pod).add(&dual_stack());
            let address = result["ips"][1]["address"].as_str().unwrap().trim_end_matches("/64").to_owned();
            assert!(neighbour.reaches(&address, 56), "{settings}: to the pod");
            assert!(
                pod.reaches("fd00:244::2", 56) && pod.reaches("fd00:244::1", 56),
                "{settings}: from the pod"
            );
        }
    }
}
