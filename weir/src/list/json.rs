//! The attachments of a node as JSON.

use serde_json::{Value, json};

use crate::attached::json;

use super::listed::Listed;

/// What `weir limit` prints of each, and more.
pub(crate) fn render(listed: &[Listed]) -> serde_json::Result<String> {
    json::list(&listed.iter().map(attachment).collect::<Vec<_>>())
}

fn attachment(listed: &Listed) -> Value {
    let mut object = json::pair(&listed.pair);
    let pod_end = listed.pod_end.as_ref();
    object["interface"] = json!(listed.interface());
    object["bridge"] = json!(listed.bridge);
    object["mac"] = json!(pod_end.and_then(|end| end.link.mac).map(|mac| mac.to_string()));
    object["mtuBytes"] = json!(pod_end.map(|end| end.link.mtu));
    object["addresses"] = json!(pod_end.map(|end| &end.addresses));
    object["maker"] = json!(listed.is_ours().then_some("weir"));
    object
}
