//! A shaped pod: made by `bridge` with a fixed address, then `bandwidth`.

use serde_json::{Value, json};
use tests::{Call, Failure, Node, Pod, with_prev_result};

/// Rate in bits per second and burst in bytes.
pub type Limit = Option<(u64, u64)>;

/// The bursts that containerd and CRI-O send for a pod that is annotated with a rate.
pub const CONTAINERD: u64 = 4_294_967_295;
pub const CRIO: u64 = 34_359_738_359;

pub const HOST: &str = "10.77.0.1";
pub const POD: &str = "10.77.0.7";

pub fn bridge_config() -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "pods", "type": "bridge", "bridge": "cni0",
        "isDefaultGateway": true,
        "ipam": {
            "type": "host-local", "subnet": "10.77.0.0/24", "rangeStart": POD,
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    })
}

/// The plugin's config with these keys.
pub fn bandwidth_config(keys: Value) -> Value {
    let mut config = json!({"cniVersion": "1.1.0", "name": "pods", "type": "bandwidth"});
    for (key, value) in keys.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

/// `runtimeConfig` with these annotations.
pub fn annotated(annotations: Value) -> Value {
    json!({"runtimeConfig": {"io.kubernetes.cri.pod-annotations": annotations}})
}

/// `runtimeConfig` as containerd and CRI-O send it for both directions.
pub fn requested(rate: u64, burst: u64) -> Value {
    json!({"runtimeConfig": {"bandwidth": {
        "IngressRate": rate, "IngressBurst": burst, "EgressRate": rate, "EgressBurst": burst,
    }}})
}

/// A pod with a bridge's pair, to be shaped.
pub struct Setting {
    pub node: Node,
    pub pod: Pod,
    pub attached: Value,
}

impl Setting {
    pub fn new() -> Self {
        let (node, pod) = (Node::new(), Pod::new("c1"));
        let attached = node.call("bridge", &pod).add(&bridge_config());
        Self { node, pod, attached }
    }

    pub fn call(&self) -> Call {
        self.node
            .call("bandwidth", &self.pod)
            .with("CNI_ARGS", "K8S_POD_NAME=web-0;IgnoreUnknown=1;K8S_POD_NAMESPACE=shop")
    }

    pub fn try_add(&self, keys: Value) -> Result<Value, Failure> {
        self.call().verb("ADD", &with_prev_result(&bandwidth_config(keys), &self.attached))
    }

    /// ADD and CHECK.
    pub fn shape(&self, keys: Value) -> Value {
        let result = self.try_add(keys.clone()).unwrap_or_else(|failure| panic!("ADD: {failure:?}"));
        self.call().check(&bandwidth_config(keys), &result);
        result
    }

    pub fn refused(&self, keys: Value) -> String {
        let failure = self.try_add(keys).unwrap_err();
        assert_eq!(self.limits(), (None, None), "after {failure:?}");
        failure.message
    }

    pub fn check(&self, keys: Value) -> Result<Value, Failure> {
        self.call().verb("CHECK", &with_prev_result(&bandwidth_config(keys), &self.attached))
    }

    pub fn host_end(&self) -> String {
        let interfaces = self.attached["interfaces"].as_array().unwrap();
        let host_end =
            interfaces.iter().find(|interface| interface["name"].as_str().unwrap().starts_with("veth"));
        host_end.unwrap()["name"].as_str().unwrap().to_owned()
    }

    /// To the pod and from it.
    pub fn limits(&self) -> (Limit, Limit) {
        let mut to_pod = tbf(&self.host_end());
        let mut from_pod = None;
        for ifb in ifbs() {
            let egress = tests::shell(&format!("tc filter show dev {} egress", self.host_end()));
            if egress.contains(&ifb) {
                to_pod = tbf(&ifb);
            } else {
                from_pod = tbf(&ifb);
            }
        }
        (to_pod, from_pod)
    }

    /// DEL of both plugins; then nothing is left.
    pub fn delete(&self) {
        for _ in 0..2 {
            self.call().del(&bandwidth_config(json!({})));
        }
        self.node.call("bridge", &self.pod).del(&bridge_config());
        assert_eq!((ifbs(), tests::shell("ip -o link show type veth")), (vec![], String::new()));
    }
}

pub fn tbf(device: &str) -> Limit {
    let qdiscs = tests::json(&format!("tc -j qdisc show dev {device}"));
    let tbf = qdiscs.as_array().unwrap().iter().find(|qdisc| qdisc["kind"] == "tbf")?;
    let number = |key: &str| tbf["options"][key].as_u64().unwrap();
    Some((number("rate") * 8, number("burst")))
}

pub fn ifbs() -> Vec<String> {
    let links = tests::json("ip -j link show type ifb");
    let name = |link: &Value| link["ifname"].as_str().map(str::to_owned);
    links.as_array().unwrap().iter().filter_map(name).collect()
}
