//! CHECK and STATUS.

use serde_json::{Value, json};
use tests::config::{changed, ptp};
use tests::{Look, Node, Pod, with_prev_result};

use crate::host_end;

fn config() -> Value {
    ptp(json!({"cniVersion": "1.1.0", "ipMasq": true}))
}

#[test]
fn a_whole_attachment_passes_and_each_missing_part_is_named() {
    let host = |command: &str| (true, command.to_owned());
    let pod = |command: &str| (false, command.to_owned());
    for ((on_host, fault), words) in [
        (pod("ip addr delete 10.244.0.2/24 dev eth0"), "10.244.0.2/24"),
        (pod("ip addr delete fd00:244::2/64 dev eth0"), "fd00:244::2/64"),
        (pod("ip route delete default"), "0.0.0.0/0"),
        (pod("ip -6 route delete default"), "::/0"),
        (pod("ip link set eth0 down"), "down"),
        (pod("ip link set eth0 address 02:00:00:00:00:09"), "02:00:00:00:00:09"),
        (pod("ip link set eth0 name eth9"), "\"eth0\" does not exist"),
        (host("ip addr delete 10.244.0.1/32 dev HOST"), "gateway address 10.244.0.1"),
        (host("ip addr delete fd00:244::1/128 dev HOST"), "gateway address fd00:244::1"),
        (host("ip route delete 10.244.0.2"), "route to 10.244.0.2"),
        (host("ip -6 route delete fd00:244::2"), "route to fd00:244::2"),
        (host("ip link set HOST down"), "down"),
        (host("nft delete table inet weir"), "masquerading"),
        (host("rm /var/lib/cni/networks/pods/10.* /var/lib/cni/networks/pods/fd*"), "Failed to find address"),
    ] {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let result = node.call("ptp", &pod).add(&config());
        node.call("ptp", &pod).check(&config(), &result);
        match on_host {
            true => node.look(&fault.replace("HOST", &host_end(&result))),
            false => pod.look(&fault),
        };
        let checked = node.call("ptp", &pod).verb("CHECK", &with_prev_result(&config(), &result));
        let failure = checked.expect_err(&fault);
        assert!(failure.message.contains(words), "{fault}: {failure:?}");
    }
}

#[test]
fn a_pair_of_another_attachment_is_not_taken_for_this_ones() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let result = node.call("ptp", &pod).add(&config());
    node.look(&format!(
        "ip link set {} alias 'weir container=c2 interface=eth0 network=pods'",
        host_end(&result)
    ));
    let failure = node.call("ptp", &pod).verb("CHECK", &with_prev_result(&config(), &result)).unwrap_err();
    assert!(failure.message.contains("eth0"), "{failure:?}");
}

#[test]
fn check_needs_the_result_of_add() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    node.call("ptp", &pod).add(&config());
    let failure = node.call("ptp", &pod).verb("CHECK", &config()).unwrap_err();
    assert!(failure.message.contains("prevResult") && failure.code == 7, "{failure:?}");
}

#[test]
fn status_is_about_the_kernel_the_config_and_the_address_manager() {
    let node = Node::new();
    let call = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]
        .into_iter()
        .fold(node.call("ptp", &Pod::new("none")), |call, name| call.with(name, ""));
    let before = node.fingerprint();
    assert_eq!(call.verb("STATUS", &config()).unwrap(), Value::Null);
    assert_eq!(node.fingerprint(), before);
    let missing = changed(&config(), json!({"ipam": {"type": "nonsense"}}));
    let failure = call.verb("STATUS", &missing).unwrap_err();
    assert!(failure.code == 50 && failure.message.contains("nonsense"), "{failure:?}");
    assert_eq!(call.verb("STATUS", &changed(&config(), json!({"ipam": {}}))).unwrap_err().code, 7);
}
