//! A pod that the chain bridge + bandwidth attached, on a node of its own.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Node, Pod, Process, REFERENCE, with_prev_result};

use crate::case::{Case, Direction, Peer, Plugin};

/// The pod, and what is at the other end of its traffic. It ends with the calling thread.
pub struct Attached {
    pod: Pod,
    pod_address: String,
    peer: Option<Pod>,
    peer_address: String,
    host_end: String,
    ifb: String,
    _node: Node,
}

/// Where a process runs.
#[derive(Clone, Copy)]
pub enum End {
    Pod,
    Peer,
}

/// The qdisc of one direction.
pub struct Statistics {
    /// The bucket, in bytes.
    pub burst: u64,
    /// The queue beyond it, in milliseconds of the rate.
    pub queue_milliseconds: f64,
    pub dropped: f64,
}

impl Attached {
    /// Makes a node and attaches a pod with the case's limits, in both directions.
    ///
    /// # Panics
    /// Without root, or when the plugins fail.
    pub fn new(case: &Case) -> Self {
        let node = match case.plugin {
            Plugin::Weir => Node::new(),
            Plugin::Reference => Node::new().prefer(REFERENCE),
        };
        let pod = Pod::new("shaped");
        let bridged = node.call("bridge", &pod).add(&bridge(PODS, 244));
        let bandwidth = json!({
            "cniVersion": "1.0.0", "name": PODS, "type": "bandwidth",
            "capabilities": {"bandwidth": true},
            "runtimeConfig": {"bandwidth": case.runtime.bandwidth(case.rate)},
        });
        let result = node.call("bandwidth", &pod).add(&with_prev_result(&bandwidth, &bridged));
        let (peer, peer_address) = match case.peer {
            Peer::Node => (None, gateway(&result)),
            Peer::Routed => {
                let peer = Pod::new("peer");
                let result = node.call("bridge", &peer).add(&bridge("peers", 245));
                (Some(peer), address(&result))
            }
        };
        let name = |index: usize| text(&result["interfaces"][index]["name"]);
        // bridge's result is the bridge, the host's end and the pod's; bandwidth's ifb comes last.
        Self {
            pod_address: address(&result),
            host_end: name(1),
            ifb: name(3),
            pod,
            peer,
            peer_address,
            _node: node,
        }
    }

    /// The address of this end.
    pub fn address(&self, end: End) -> &str {
        match end {
            End::Pod => &self.pod_address,
            End::Peer => &self.peer_address,
        }
    }

    /// Starts a command at this end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(&self, end: End, command: &str) -> Process {
        Process::start(self.netns(end).as_deref(), command)
    }

    /// Path of this end's network namespace, if it is not the thread's own.
    pub fn netns(&self, end: End) -> Option<String> {
        match (end, &self.peer) {
            (End::Pod, _) => Some(self.pod.netns()),
            (End::Peer, Some(peer)) => Some(peer.netns()),
            (End::Peer, None) => None,
        }
    }

    /// Makes both ends keep each other's link address. At the slowest limits the answers of ARP wait behind
    /// full-size packets for longer than a neighbour is waited for (3 s).
    pub fn keep_neighbours(&self) {
        const PATIENCE: Duration = Duration::from_secs(10);
        let (pod, peer) = (&self.pod_address, &self.peer_address);
        self.start(End::Peer, &format!("ping -n -q -c 1 {pod}")).output(PATIENCE);
        self.start(End::Peer, &format!("ip neigh change {pod} dev {} nud permanent", bridge_name(PODS)))
            .output(PATIENCE);
        self.start(End::Pod, &format!("ip neigh change {peer} dev eth0 nud permanent")).output(PATIENCE);
    }

    /// Returns the limit of this direction, as the kernel has it.
    ///
    /// # Panics
    /// When there is no limit.
    pub fn statistics(&self, direction: Direction) -> Statistics {
        let device = match direction {
            Direction::In => &self.host_end,
            Direction::Out => &self.ifb,
        };
        let shown = tests::json(&format!("tc -s -j qdisc show dev {device} root"));
        let qdisc = &shown[0];
        assert_eq!(qdisc["kind"], "tbf", "{device} is not limited: {shown}");
        Statistics {
            burst: qdisc["options"]["burst"].as_u64().unwrap_or_default(),
            queue_milliseconds: qdisc["options"]["lat"].as_f64().unwrap_or_default() / 1000.0,
            dropped: qdisc["drops"].as_f64().unwrap_or_default(),
        }
    }
}

/// The network of the pod.
const PODS: &str = "pods";

fn bridge_name(network: &str) -> String {
    format!("br-{network}")
}

fn bridge(name: &str, network: u8) -> Value {
    json!({
        "cniVersion": "1.0.0", "name": name, "type": "bridge", "bridge": bridge_name(name),
        "isDefaultGateway": true,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": format!("10.{network}.0.0/24")}]]},
    })
}

fn address(result: &Value) -> String {
    let address = text(&result["ips"][0]["address"]);
    address.split('/').next().unwrap_or_default().to_owned()
}

fn gateway(result: &Value) -> String {
    text(&result["ips"][0]["gateway"])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
