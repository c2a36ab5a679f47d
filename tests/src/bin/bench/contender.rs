//! A chain of plugins, and its calls for one pod.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Call, Node, Pod, with_prev_result};

/// One of the two sets of executables, with a network of its own.
pub struct Contender<'a> {
    /// Where it runs.
    pub node: &'a Node,
    /// The folder of its executables.
    pub bin: PathBuf,
    /// The name in the tables, and of its networks.
    pub name: &'static str,
    /// Second byte of its networks' addresses.
    pub network: u8,
}

/// One pod's configs and calls.
pub struct Attachment {
    configs: [Value; 2],
    calls: [Call; 2],
    result: Value,
    /// How much of the last ADD was `bandwidth`'s.
    pub shaping: Duration,
}

impl Contender<'_> {
    /// A pod to attach, masqueraded or not.
    pub fn attachment(&self, pod: &Pod, masquerade: bool) -> Attachment {
        let common = |plugin: Value| {
            let mut config = plugin;
            config["cniVersion"] = json!("1.0.0");
            config["name"] = json!(format!("{}{}", self.name, u8::from(masquerade)));
            config
        };
        let bridge = common(json!({
            "type": "bridge", "bridge": format!("{}{}", self.name, u8::from(masquerade)),
            "isDefaultGateway": true, "ipMasq": masquerade,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": format!("10.{}.0.0/16", self.network + u8::from(masquerade))}]]},
        }));
        let bandwidth = common(json!({
            "type": "bandwidth", "ingressRate": 10_000_000, "ingressBurst": 1_000_000,
            "egressRate": 10_000_000, "egressBurst": 1_000_000,
        }));
        let call = |plugin: &str| {
            self.node
                .call_in(&self.bin, plugin, pod)
                .with("CNI_PATH", self.bin.display().to_string())
                .with("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        };
        Attachment {
            configs: [bridge, bandwidth],
            calls: [call("bridge"), call("bandwidth")],
            result: Value::Null,
            shaping: Duration::ZERO,
        }
    }
}

impl Attachment {
    /// ADD of the chain; returns how long it took.
    pub fn add(&mut self) -> Duration {
        let start = Instant::now();
        let first = self.calls[0].add(&self.configs[0]);
        let attached = start.elapsed();
        self.result = self.calls[1].add(&with_prev_result(&self.configs[1], &first));
        self.shaping = start.elapsed() - attached;
        start.elapsed()
    }

    /// CHECK of the chain.
    pub fn check(&self) -> Duration {
        let start = Instant::now();
        for (call, config) in self.calls.iter().zip(&self.configs) {
            call.check(config, &self.result);
        }
        start.elapsed()
    }

    /// DEL of the chain, in reverse order.
    pub fn del(&self) -> Duration {
        let start = Instant::now();
        for (call, config) in self.calls.iter().zip(&self.configs).rev() {
            call.del(&with_prev_result(config, &self.result));
        }
        start.elapsed()
    }
}
