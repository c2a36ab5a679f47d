//! Configs as a runtime puts them on standard input.

use serde_json::{Value, json};

/// A `bridge` config of version 1.0.0: network `pods`, bridge `cni0`, addresses of 10.244.0.0/24 from
/// `host-local`. `changes` are put over it as [`changed`] does.
pub fn bridge(changes: Value) -> Value {
    let base = json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "type": "bridge",
        "bridge": "cni0",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}]]},
    });
    changed(&base, changes)
}

/// A `ptp` config of version 1.0.0: network `pods`, addresses of 10.244.0.0/24 and fd00:244::/64 from `host-local`, a
/// default route of each family. `changes` are put over it as [`changed`] does.
pub fn ptp(changes: Value) -> Value {
    let mut ipam = host_local(&["10.244.0.0/24", "fd00:244::/64"]);
    ipam["routes"] = json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]);
    changed(&json!({"cniVersion": "1.0.0", "name": "pods", "type": "ptp", "ipam": ipam}), changes)
}

/// The config with other values for the keys of `changes`; `null` takes a key away.
pub fn changed(config: &Value, changes: Value) -> Value {
    let mut config = config.clone();
    let Value::Object(changes) = changes else { panic!("changes are an object, not {changes}") };
    for (key, value) in changes {
        match (config.as_object_mut(), value) {
            (Some(keys), Value::Null) => drop(keys.remove(&key)),
            (_, value) => config[key] = value,
        }
    }
    config
}

/// An `ipam` of `host-local` with one range set for each subnet.
pub fn host_local(subnets: &[&str]) -> Value {
    let sets: Vec<_> = subnets.iter().map(|subnet| json!([{ "subnet": subnet }])).collect();
    json!({"type": "host-local", "ranges": sets})
}

/// The config with `prevResult`.
pub fn with_prev_result(config: &Value, result: &Value) -> Value {
    let mut config = config.clone();
    config["prevResult"] = result.clone();
    config
}
