//! Hardware addresses: those that somebody asks for, and those that nobody chose.

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
fn addresses_that_nobody_chose_differ() {
    let node = Node::new();
    let pods = ["c1", "c2", "c3"].map(Pod::new);
    pods.iter().for_each(|pod| drop(node.call("bridge", pod).add(&bridge(json!({})))));
    let mut macs: Vec<_> = pods.iter().map(|pod| pod.link("eth0")["address"].to_string()).collect();
    macs.sort();
    macs.dedup();
    assert_eq!(macs.len(), 3, "{macs:?}");
}

/// What the neighbours have cached must do: on a quiet node the kernel's announcement of a new pod is lost.
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
