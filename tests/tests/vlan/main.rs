//! `bridge` with `vlan`, `vlanTrunk` and `preserveDefaultVlan`.
//!
//! Tests that need a kernel with VLAN filtering are ignored here; `scripts/test-vlan` boots one and runs them.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

mod check;
mod gateway;
mod kernel;
mod port;
mod reference;

use serde_json::Value;
use tests::{Look, Node, Pod};

/// The VLANs of a port, as `bridge vlan show` has it: `100*` for the VLAN of frames without a tag, `1-` for another
/// one whose frames leave without a tag.
fn vlans(node: &Node, port: &str) -> String {
    let shown: Value =
        serde_json::from_str(&node.look(&format!("bridge -j -compressvlans vlan show dev {port}"))).unwrap();
    let one = |vlan: &Value| {
        let flags = vlan["flags"].as_array().map_or(&[][..], Vec::as_slice);
        let has = |name: &str| flags.iter().any(|flag| flag == name);
        let mark = match (has("PVID"), has("Egress Untagged")) {
            (true, true) => "*",
            (false, true) => "-",
            (false, false) => "",
            (true, false) => "+",
        };
        let end = vlan["vlanEnd"].as_u64().map(|end| format!("..{end}")).unwrap_or_default();
        format!("{}{end}{mark}", vlan["vlan"])
    };
    let ports = shown.as_array().unwrap();
    let carried = ports.iter().find(|found| found["ifname"] == port).map(|found| &found["vlans"]);
    carried
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice)
        .iter()
        .map(one)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Returns whether `bridge` filters by VLANs.
fn filters(node: &Node, bridge: &str) -> bool {
    node.link(bridge)["linkinfo"]["info_data"]["vlan_filtering"] == 1
}

/// The host's end of a pod, by ADD's result.
fn host_end(result: &Value) -> String {
    result["interfaces"][1]["name"].as_str().unwrap().to_owned()
}

/// Gives the pod's `eth0` an address where no IPAM plugin does.
fn address(pod: &Pod, address: &str) {
    pod.look(&format!("ip addr add {address} dev eth0"));
}
