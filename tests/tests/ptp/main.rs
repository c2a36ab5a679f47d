//! `ptp`: a pod behind a pair of its own, routed by the host.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

mod attachment;
mod check;
mod removal;
mod traffic;

use serde_json::Value;

/// The name of the host's end, as the result tells it.
fn host_end(result: &Value) -> String {
    assert!(result["interfaces"][0].get("sandbox").is_none(), "{result}");
    result["interfaces"][0]["name"].as_str().unwrap().to_owned()
}
