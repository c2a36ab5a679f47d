//! Kernel parameters: which keys, which values, and the node's list.

use serde_json::{Value, json};
use tests::{Look, Node, Pod};

use super::{call, config, pod, records, says, shown};

fn sysctl(pod: &Pod, keys: Value) -> Value {
    config(pod, json!({ "sysctl": keys }))
}

#[test]
fn a_key_is_written_with_dots_or_slashes_and_the_other_stands_in_interface_names() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    pod.shell("ip link add eth0.1 type veth peer name peer0");
    let interface = |call: tests::Call| call.with("CNI_IFNAME", "eth0.1");
    let before = pod.sysctl("net/ipv4/conf/eth0.1/rp_filter");
    for key in [
        "net.ipv4.conf.eth0/1.rp_filter",
        "net/ipv4/conf/eth0.1/rp_filter",
        "net.ipv4.conf.IFNAME.rp_filter",
        "net/ipv4/conf/IFNAME/rp_filter",
    ] {
        let config = sysctl(&pod, json!({ key: "2" }));
        let result = interface(call(&node, &pod)).add(&config);
        assert_eq!(pod.sysctl("net/ipv4/conf/eth0.1/rp_filter"), "2", "{key}");
        interface(call(&node, &pod)).check(&config, &result);
        interface(call(&node, &pod)).del(&config);
        assert_eq!(pod.sysctl("net/ipv4/conf/eth0.1/rp_filter"), before, "{key}");
    }
}

#[test]
fn a_value_may_be_a_list() {
    let (node, pod) = (Node::new(), pod("c1"));
    let before = pod.sysctl("net/ipv4/ip_local_port_range");
    let config = sysctl(&pod, json!({"net.ipv4.ip_local_port_range": "1024 65000"}));
    let result = call(&node, &pod).add(&config);
    assert_eq!(pod.sysctl("net/ipv4/ip_local_port_range"), "1024\t65000");
    call(&node, &pod).check(&config, &result);
    call(&node, &pod).del(&config);
    assert_eq!(pod.sysctl("net/ipv4/ip_local_port_range"), before);
}

/// A write of no bytes changes nothing in the kernel.
#[test]
fn an_empty_list_is_set_and_restored() {
    let (node, pod) = (Node::new(), pod("c1"));
    let shown = || pod.sysctl("net/ipv4/ip_local_reserved_ports");
    let ports = |value| sysctl(&pod, json!({"net.ipv4.ip_local_reserved_ports": value}));
    assert_eq!(shown(), "");
    call(&node, &pod).add(&ports("8080,9148"));
    assert_eq!(shown(), "8080,9148");
    call(&node, &pod).del(&ports("8080,9148"));
    assert_eq!(shown(), "");
    pod.shell("echo 8080 > /proc/sys/net/ipv4/ip_local_reserved_ports");
    let result = call(&node, &pod).add(&ports(""));
    assert_eq!(shown(), "");
    call(&node, &pod).check(&ports(""), &result);
    call(&node, &pod).del(&ports(""));
    assert_eq!(shown(), "8080");
}

/// The kernel passes what is set for all interfaces on to each of them.
#[test]
fn parameters_of_all_interfaces_are_set_before_those_of_one() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    // Its name comes before "all".
    pod.shell("ip link add a0 type veth peer name peer0; echo 1 > /proc/sys/net/ipv6/conf/a0/disable_ipv6");
    let values = || ["all", "a0"].map(|name| pod.sysctl(&format!("net/ipv6/conf/{name}/disable_ipv6")));
    let keys = json!({"net.ipv6.conf.IFNAME.disable_ipv6": "0", "net.ipv6.conf.all.disable_ipv6": "1"});
    let config = sysctl(&pod, keys);
    let call = || call(&node, &pod).with("CNI_IFNAME", "a0");
    assert_eq!(values(), ["0", "1"]);
    let result = call().add(&config);
    assert_eq!(values(), ["1", "0"]);
    call().check(&config, &result);
    call().del(&config);
    assert_eq!(values(), ["0", "1"]);
}

#[test]
fn a_parameter_that_cannot_be_read_is_set_and_not_compared() {
    let (node, pod) = (Node::new(), pod("c1"));
    let config = sysctl(&pod, json!({"net.ipv4.route.flush": "1"}));
    let result = call(&node, &pod).add(&config);
    call(&node, &pod).check(&config, &result);
    call(&node, &pod).del(&config);
}

#[test]
fn a_namespace_without_the_interface_is_tuned_too() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    let before = pod.sysctl("net/core/somaxconn");
    let config = sysctl(&pod, json!({"net.core.somaxconn": "500"}));
    call(&node, &pod).add(&config);
    assert_eq!(pod.sysctl("net/core/somaxconn"), "500");
    call(&node, &pod).del(&config);
    assert_eq!(pod.sysctl("net/core/somaxconn"), before);
}

#[test]
fn a_key_that_is_not_the_namespaces_is_refused_and_nothing_changes() {
    let (node, pod) = (Node::new(), pod("c1"));
    let before = shown(&pod);
    let host = node.look("cat /proc/sys/kernel/hostname /proc/sys/vm/swappiness");
    for key in [
        "kernel.hostname",
        "vm.swappiness",
        "net/../kernel/hostname",
        "net/../vm/swappiness",
        "net.ipv4.//.//.vm.swappiness",
        "/proc/sys/net/core/somaxconn",
        "net.",
        "net",
        "",
    ] {
        let config = config(&pod, json!({"mtu": 1400, "sysctl": {"net.core.somaxconn": "500", key: "7"}}));
        says(&call(&node, &pod).verb("ADD", &config).unwrap_err(), 7, &["sysctl", &format!("{key:?}")]);
    }
    // Only the host has this one, and no kernel has the other.
    for key in ["net.ipv4.tcp_mem", "net.core.no_such_parameter"] {
        let config = config(&pod, json!({"mtu": 1400, "sysctl": {"net.core.somaxconn": "500", key: "7"}}));
        says(&call(&node, &pod).verb("ADD", &config).unwrap_err(), 7, &[key, "\"7\"", "no such parameter"]);
    }
    assert_eq!(shown(&pod), before);
    assert_eq!(node.look("cat /proc/sys/kernel/hostname /proc/sys/vm/swappiness"), host);
    assert!(records(&node).is_empty());
}

#[test]
fn a_value_that_the_kernel_refuses_is_named_and_everything_is_taken_back() {
    let (node, pod) = (Node::new(), pod("c1"));
    let before = shown(&pod);
    let keys = json!({
        "net.core.somaxconn": "500", "net.ipv4.conf.IFNAME.rp_filter": "2", "net.ipv4.tcp_syncookies": "many",
    });
    let config = config(&pod, json!({"mac": super::TUNED, "mtu": 1400, "promisc": true, "sysctl": keys}));
    let failure = call(&node, &pod).verb("ADD", &config).unwrap_err();
    says(&failure, 7, &["net.ipv4.tcp_syncookies", "\"many\"", "Invalid argument"]);
    assert_eq!(shown(&pod), before);
    assert!(records(&node).is_empty());
}

#[test]
fn two_spellings_of_one_key_are_refused() {
    let (node, pod) = (Node::new(), pod("c1"));
    let config = sysctl(&pod, json!({"net.core.somaxconn": "500", "net/core/somaxconn": "501"}));
    let failure = call(&node, &pod).verb("ADD", &config).unwrap_err();
    says(&failure, 7, &["sysctl.net.core.somaxconn", "sysctl.net/core/somaxconn", "same parameter"]);
}

/// The kernel shows it to every namespace, and lets only the host set it.
#[test]
fn a_parameter_that_may_only_be_read_is_named_and_everything_is_taken_back() {
    let (node, pod) = (Node::new(), pod("c1"));
    let before = shown(&pod);
    let config = config(&pod, json!({"mtu": 1400, "sysctl": {"net.netfilter.nf_conntrack_max": "77"}}));
    let failure = call(&node, &pod).verb("ADD", &config).unwrap_err();
    says(&failure, 7, &["net.netfilter.nf_conntrack_max", "\"77\""]);
    assert_eq!(shown(&pod), before);
    assert!(records(&node).is_empty());
}

mod allowlist {
    use super::*;

    /// A node with this list. Its `/etc/cni` is its own.
    fn node(list: &str) -> Node {
        let node = Node::new();
        node.look("mkdir -p /etc/cni; mount -t tmpfs tmpfs /etc/cni; mkdir /etc/cni/tuning");
        std::fs::write("/etc/cni/tuning/allowlist.conf", list).unwrap();
        node
    }

    #[test]
    fn only_keys_that_a_line_matches_are_set() {
        let node = node("^net.core.somaxconn$\n\n  ^net\\.ipv4\\.conf\\.IFNAME\\.(rp|arp)_filter$  \n");
        let pod = pod("c1");
        let before = shown(&pod);
        let allowed = json!({"net.core.somaxconn": "500", "net.ipv4.conf.IFNAME.rp_filter": "2"});
        call(&node, &pod).add(&sysctl(&pod, allowed));
        call(&node, &pod).del(&sysctl(&pod, json!({})));
        assert_eq!(shown(&pod), before);
        for key in ["net.ipv4.ip_forward", "net.ipv4.conf.eth0.rp_filter", "net.core.somaxconn2"] {
            for keys in [json!({"sysctl": {key: "1"}}), json!({"args": {"cni": {"sysctl": {key: "1"}}}})] {
                let failure = call(&node, &pod).verb("ADD", &config(&pod, keys)).unwrap_err();
                let sentence =
                    format!("Sysctl {key} is not allowed. Only the following sysctls are allowed: [");
                says(&failure, 7, &[&sentence, "^net.core.somaxconn$", "allowlist.conf"]);
            }
        }
        assert_eq!(shown(&pod), before);
    }

    #[test]
    fn an_empty_list_allows_no_key_and_everything_else() {
        let (node, pod) = (node("\n"), pod("c1"));
        call(&node, &pod).verb("ADD", &sysctl(&pod, json!({"net.core.somaxconn": "1"}))).unwrap_err();
        call(&node, &pod).add(&config(&pod, json!({"mtu": 1400})));
    }

    #[test]
    fn a_line_allows_nothing_beyond_the_namespaces_parameters() {
        let (node, pod) = (node(".*\n"), pod("c1"));
        let config = sysctl(&pod, json!({"kernel.hostname": "x"}));
        says(&call(&node, &pod).verb("ADD", &config).unwrap_err(), 7, &["\"kernel.hostname\""]);
    }

    #[test]
    fn a_line_that_is_not_an_expression_is_named_and_del_does_not_read_the_list() {
        let (node, pod) = (node("net\n(net\n"), pod("c1"));
        let config = sysctl(&pod, json!({"net.core.somaxconn": "500"}));
        let failure = call(&node, &pod).verb("ADD", &config).unwrap_err();
        says(&failure, 999, &["allowlist.conf", "line 2", "\"(net\""]);
        call(&node, &pod).del(&config);
    }
}
