//! Hardware addresses, requested and default.

use serde_json::json;
use tests::config::bridge;
use tests::{Look, Node, Pod, with_prev_result};

const BY_ENVIRONMENT: &str = "02:00:00:00:00:01";
const BY_ARGS: &str = "02:00:00:00:00:02";
const BY_RUNTIME: &str = "02:00:00:00:00:03";

#[test]
fn the_runtimes_address_wins_over_args_and_args_over_the_environment() {
    for (environment, args, runtime, wins) in [
        (BY_ENVIRONMENT, "", "", BY_ENVIRONMENT),
        ("", BY_ARGS, "", BY_ARGS),
        ("", "", BY_RUNTIME, BY_RUNTIME),
        (BY_ENVIRONMENT, BY_ARGS, "", BY_ARGS),
        (BY_ENVIRONMENT, BY_ARGS, BY_RUNTIME, BY_RUNTIME),
    ] {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let config = bridge(json!({"args": {"cni": {"mac": args}}, "runtimeConfig": {"mac": runtime}}));
        let call = node.call("bridge", &pod).with("CNI_ARGS", format!("MAC={environment}"));
        let result = call.add(&config);
        assert_eq!(pod.link("eth0")["address"], wins);
        assert_eq!(result["interfaces"][2]["mac"], wins);
        call.check(&config, &result);
    }
}

#[test]
fn an_address_may_be_written_with_colons_dashes_or_dots() {
    for text in ["0a:58:0a:01:00:07", "0A-58-0A-01-00-07", "0a58.0a01.0007"] {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let config = bridge(json!({"runtimeConfig": {"mac": text}}));
        let call = node.call("bridge", &pod);
        let result = call.add(&config);
        assert_eq!(pod.link("eth0")["address"], "0a:58:0a:01:00:07", "{text}");
        call.check(&config, &result);
    }
}

#[test]
fn default_addresses_differ() {
    let node = Node::new();
    let pods = ["c1", "c2", "c3"].map(Pod::new);
    pods.iter().for_each(|pod| drop(node.call("bridge", pod).add(&bridge(json!({})))));
    let mut macs: Vec<_> = pods.iter().map(|pod| pod.link("eth0")["address"].to_string()).collect();
    macs.sort();
    macs.dedup();
    assert_eq!(macs.len(), 3, "{macs:?}");
}

/// The neighbours' caches must stay valid: on a quiet node the kernel's announcement of a new pod is lost.
#[test]
fn who_knew_a_former_pod_reaches_the_next_one_of_its_address_at_once() {
    const ADDRESS: &str = "10.244.0.77";
    let node = Node::new();
    let [peer, former, next] = ["peer", "former", "next"].map(Pod::new);
    let config = bridge(json!({}));
    let at_address = |pod: &Pod| node.call("bridge", pod).with("CNI_ARGS", format!("IP={ADDRESS}"));
    node.call("bridge", &peer).add(&config);
    let result = at_address(&former).add(&config);
    assert!(peer.reaches(ADDRESS, 8));
    at_address(&former).del(&with_prev_result(&config, &result));
    let result = at_address(&next).add(&config);
    let cached = peer.ip(&format!("neigh show {ADDRESS}"));
    assert_eq!(cached[0]["lladdr"], result["interfaces"][2]["mac"]);
    assert!(peer.reaches(ADDRESS, 8));
}

/// Gives the node another `/etc` with this in `machine-id`, or without one.
fn identify(node: &Node, machine_id: Option<&str>) {
    node.look("mkdir -p /mnt/etc; cp -a /etc/. /mnt/etc; mount --bind /mnt/etc /etc; rm -f /etc/machine-id");
    if let Some(machine_id) = machine_id {
        node.look(&format!("printf '{machine_id}' > /etc/machine-id"));
    }
}

/// Attaches a pod, detaches it, and tells its hardware address.
fn mac_of_a_pod(node: &Node) -> String {
    let (pod, config) = (Pod::new("c1"), bridge(json!({})));
    let call = node.call("bridge", &pod);
    let address = call.add(&config)["interfaces"][2]["mac"].as_str().unwrap().to_owned();
    call.del(&config);
    node.look("rm -r /var/lib/cni");
    address
}

/// Two nodes that give out the same subnet by mistake, as with `host-local` on both.
#[test]
fn the_same_address_on_another_node_has_another_hardware_address() {
    let macs = ["1111111111111111aaaaaaaaaaaaaaaa", "2222222222222222bbbbbbbbbbbbbbbb"].map(|id| {
        let node = Node::new();
        identify(&node, Some(&format!("{id}\\n")));
        let macs = [mac_of_a_pod(&node), mac_of_a_pod(&node)];
        assert_eq!(macs[0], macs[1], "one node gives an address the same hardware address again");
        macs[0].clone()
    });
    assert_ne!(macs[0], macs[1]);
}

#[test]
fn a_node_without_a_usable_machine_id_gives_an_address_the_same_hardware_address_again() {
    for machine_id in [None, Some(""), Some("uninitialized\\n"), Some("fifo")] {
        let node = Node::new();
        identify(&node, machine_id);
        if machine_id == Some("fifo") {
            node.look("rm /etc/machine-id; mkfifo /etc/machine-id");
        }
        assert_eq!(mac_of_a_pod(&node), mac_of_a_pod(&node), "{machine_id:?}");
    }
}

#[test]
fn an_address_that_no_interface_can_have_is_named() {
    let (node, pod) = (Node::new(), Pod::new("c1"));
    for mac in ["01:00:5e:00:00:01", "00:00:00:00:00:00", "02:00:00:00:00", "zz:00:00:00:00:00"] {
        let failure = node.call("bridge", &pod).verb("ADD", &bridge(json!({"runtimeConfig": {"mac": mac}})));
        let failure = failure.unwrap_err();
        assert_eq!(failure.code, 7, "{failure:?}");
        assert!(
            failure.message.contains("runtimeConfig.mac") && failure.message.contains(mac),
            "{failure:?}"
        );
    }
    let call = node.call("bridge", &pod).with("CNI_ARGS", "MAC=nonsense");
    let failure = call.verb("ADD", &bridge(json!({}))).unwrap_err();
    assert!(failure.message.contains("CNI_ARGS") && failure.message.contains("nonsense"), "{failure:?}");
    assert!(node.links().is_empty());
}
