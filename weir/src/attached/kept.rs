//! What a runtime keeps of an attachment: its result, and libcni its config too (`libcni/api.go`, `cacheAdd`).

use std::path::Path;

use bandwidth::Subnets;
use cni::Attachment;
use serde::Deserialize;
use serde_json::Value;

use super::base64;

/// A file of libcni's or of `weir attach`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Kept {
    container_id: String,
    if_name: String,
    network_name: String,
    /// The network's config, in Base64; `weir attach` does not keep it.
    #[serde(default)]
    config: String,
    /// Path of the pod's network namespace; older versions of libcni do not keep it.
    #[serde(default)]
    netns: String,
    #[serde(default)]
    cni_args: Vec<(String, String)>,
    result: KeptResult,
}

/// Without interfaces before version 0.3.0.
#[derive(Deserialize)]
struct KeptResult {
    #[serde(default)]
    interfaces: Vec<KeptInterface>,
}

#[derive(Deserialize)]
struct KeptInterface {
    name: String,
    #[serde(default)]
    sandbox: String,
}

impl Kept {
    pub fn attachment(&self) -> Attachment {
        let argument =
            |key: &str| self.cni_args.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        let pod = argument("K8S_POD_NAMESPACE")
            .zip(argument("K8S_POD_NAME"))
            .map(|(namespace, name)| format!("{namespace}/{name}"));
        Attachment {
            network: self.network_name.clone(),
            container_id: self.container_id.clone(),
            interface: self.if_name.clone(),
            pod,
        }
    }

    /// Whether this was kept of `attachment`, whatever is known of the pod's name.
    pub fn is_of(&self, attachment: &Attachment) -> bool {
        self.attachment().is_same(attachment)
    }

    /// Whether the result tells that `interface` is on the host.
    pub fn has_host_end(&self, interface: &str) -> bool {
        let mut interfaces = self.result.interfaces.iter();
        interfaces.any(|known| known.sandbox.is_empty() && known.name == interface)
    }

    /// Path of the pod's network namespace, where anything tells it.
    pub fn sandbox(&self) -> Option<&Path> {
        let of_interfaces = self.result.interfaces.iter().map(|interface| &interface.sandbox);
        let mut paths = std::iter::once(&self.netns).chain(of_interfaces);
        paths.find(|path| !path.is_empty()).map(Path::new)
    }

    /// What the config exempts from limits: that of `bandwidth` in the list, or the config itself where it is no
    /// list. None where there is no config, or none that can be read.
    pub fn subnets(&self) -> Option<Subnets> {
        let config: Value = serde_json::from_slice(&base64::decode(&self.config)?).ok()?;
        let plugins = config["plugins"].as_array().map_or(std::slice::from_ref(&config), Vec::as_slice);
        let bandwidth = plugins.iter().find(|plugin| {
            plugin["type"].as_str().is_some_and(|kind| kind == "bandwidth" || kind.ends_with("-bandwidth"))
        });
        match bandwidth {
            Some(bandwidth) => Subnets::of_config(bandwidth).ok(),
            // Its filters were made live, and not for want of knowledge.
            None => config.is_object().then_some(Subnets::All),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(json: &str) -> Kept {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_namespace_is_told_by_libcni_or_else_by_the_result() {
        let sandbox = |netns: &str, interfaces: &str| {
            let kept = kept(&format!(
                r#"{{"containerId": "c1", "ifName": "eth0", "networkName": "n", "netns": "{netns}",
                    "result": {{"interfaces": [{interfaces}]}}}}"#
            ));
            kept.sandbox().map(Path::to_owned)
        };
        let interfaces = r#"{"name": "veth1"}, {"name": "eth0", "sandbox": "/run/netns/a"}"#;
        assert_eq!(sandbox("/run/netns/b", interfaces).as_deref(), Some(Path::new("/run/netns/b")));
        assert_eq!(sandbox("", interfaces).as_deref(), Some(Path::new("/run/netns/a")));
        assert_eq!(sandbox("", r#"{"name": "veth1"}"#), None);
    }

    #[test]
    fn the_config_tells_what_is_exempt() {
        let subnets = |config: &str| {
            kept(&format!(
                r#"{{"containerId": "c1", "ifName": "eth0", "networkName": "n", "result": {{}}, "config": "{config}"}}"#
            ))
            .subnets()
        };
        // {"plugins": [{"type": "bridge"}, {"type": "bandwidth", "UnshapedSubnets": ["10.0.0.0/8"]}]}
        let list = "eyJwbHVnaW5zIjogW3sidHlwZSI6ICJicmlkZ2UifSwgeyJ0eXBlIjogImJhbmR3aWR0aCIsICJVbnNoYXBlZFN1Ym5ldHMiOiBbIjEwLjAuMC4wLzgiXX1dfQ==";
        assert_eq!(subnets(list), Some(Subnets::AllBut(vec!["10.0.0.0/8".parse().unwrap()])));
        // {"type": "bridge"}
        assert_eq!(subnets("eyJ0eXBlIjogImJyaWRnZSJ9"), Some(Subnets::All));
        for unreadable in ["", "!", "Zm9v"] {
            assert_eq!(subnets(unreadable), None);
        }
    }
}
