//! A pod's limits, as `tc` shows them.

use serde_json::Value;
use tests::{Look, Node, PodSandbox};

/// The limits of a pod, as the kernel has them.
#[derive(Debug, PartialEq)]
pub(crate) struct Shape {
    /// Of what goes to the pod, in bits per second.
    pub to_pod: Option<u64>,
    /// Of what comes from the pod, in bits per second.
    pub from_pod: Option<u64>,
    /// The device that packets from the pod are sent through.
    pub ifb: Option<String>,
}

impl Shape {
    pub fn of(node: &Node, sandbox: &PodSandbox) -> Self {
        let host_end = host_end(node, sandbox);
        let filters = tc(node, &format!("filter show dev {host_end} ingress"));
        // The first action takes the packet. The reference has a second one with the same device.
        let actions = filters.iter().filter_map(|filter| filter["options"]["actions"].as_array()?.first());
        let mut redirects = actions.filter_map(|action| {
            assert_eq!((&action["kind"], &action["mirred_action"]), (&"mirred".into(), &"redirect".into()));
            action["to_dev"].as_str().map(str::to_owned)
        });
        let by_filter = redirects.next();
        assert_eq!(redirects.next(), None, "a single filter");
        let ifb = by_filter.or_else(|| forwarded_to(node, &host_end));
        let from_pod = ifb.as_deref().and_then(|ifb| limit(node, ifb));
        Self { to_pod: limit(node, &host_end), from_pod, ifb }
    }
}

/// The device that weir's chain of the link forwards packets to.
fn forwarded_to(node: &Node, link: &str) -> Option<String> {
    let chain = node.look(&format!("nft list chain netdev weir {link} 2> /dev/null || true"));
    let (_, device) = chain.split_once("fwd to \"")?;
    device.split_once('"').map(|(device, _)| device.to_owned())
}

/// The name of the pod's peer.
pub(crate) fn host_end(node: &Node, sandbox: &PodSandbox) -> String {
    let index = sandbox.pod.link("eth0")["link_index"].as_u64().unwrap();
    let links = node.ip("link");
    let peer = links.iter().find(|link| link["ifindex"] == index && link["linkinfo"]["info_kind"] == "veth");
    peer.and_then(|link| link["ifname"].as_str()).expect("eth0 has a peer on the node").to_owned()
}

/// The rate of the link's token bucket filter.
fn limit(node: &Node, link: &str) -> Option<u64> {
    let qdiscs = tc(node, &format!("qdisc show dev {link} root"));
    let filter = qdiscs.iter().find(|qdisc| qdisc["kind"] == "tbf")?;
    filter["options"]["rate"].as_u64().map(|bytes| bytes * 8)
}

fn tc(node: &Node, arguments: &str) -> Vec<Value> {
    let text = node.look(&format!("tc -j {arguments}"));
    if text.trim().is_empty() { Vec::new() } else { serde_json::from_str(&text).unwrap() }
}
