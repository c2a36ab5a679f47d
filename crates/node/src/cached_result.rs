//! The file in which a runtime caches the result of one attachment, and libcni its config too (`libcni/api.go`,
//! `cacheAdd`).

use std::path::Path;

use bandwidth::Subnets;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use cni::Attachment;
use serde::Deserialize;
use serde_json::Value;

/// A cached result, as libcni and `weir attach` write it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CachedResult {
    container_id: String,
    if_name: String,
    network_name: String,
    /// The network's config in Base64, as Go writes bytes; `weir attach` does not cache it.
    #[serde(default)]
    config: String,
    /// Path of the pod's network namespace; older versions of libcni do not cache it.
    #[serde(default)]
    netns: String,
    #[serde(default)]
    cni_args: Vec<(String, String)>,
    result: AddResult,
}

/// The result of ADD; before version 0.3.0 it has no interfaces.
#[derive(Deserialize)]
struct AddResult {
    #[serde(default)]
    interfaces: Vec<Interface>,
}

#[derive(Deserialize)]
struct Interface {
    name: String,
    #[serde(default)]
    sandbox: String,
}

impl CachedResult {
    /// Returns the attachment, with the pod that `CNI_ARGS` name.
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

    /// Tells whether this is the result of `attachment`. The pod's name does not count.
    pub fn is_of(&self, attachment: &Attachment) -> bool {
        self.attachment().is_same(attachment)
    }

    /// Tells whether the result lists `interface` on the host.
    pub fn has_host_end(&self, interface: &str) -> bool {
        let mut interfaces = self.result.interfaces.iter();
        interfaces.any(|known| known.sandbox.is_empty() && known.name == interface)
    }

    /// Returns the path of the pod's network namespace, if the file has it.
    pub fn sandbox(&self) -> Option<&Path> {
        let of_interfaces = self.result.interfaces.iter().map(|interface| &interface.sandbox);
        let mut paths = std::iter::once(&self.netns).chain(of_interfaces);
        paths.find(|path| !path.is_empty()).map(Path::new)
    }

    /// Returns what the config exempts from limits: `bandwidth`'s keys in the list, or in the config itself where it is
    /// a single plugin's. None when there is no config, or it cannot be read.
    pub fn subnets(&self) -> Option<Subnets> {
        let config: Value = serde_json::from_slice(&BASE64.decode(&self.config).ok()?).ok()?;
        let plugins = config["plugins"].as_array().map_or(std::slice::from_ref(&config), Vec::as_slice);
        let bandwidth = plugins.iter().find(|plugin| {
            plugin["type"].as_str().is_some_and(|kind| kind == "bandwidth" || kind.ends_with("-bandwidth"))
        });
        match bandwidth {
            Some(bandwidth) => Subnets::of_config(bandwidth).ok(),
            // A network without `bandwidth` exempts nothing; its limits come from `weir limit`.
            None => config.is_object().then_some(Subnets::All),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cached(json: &str) -> CachedResult {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_namespace_is_libcnis_or_else_the_results() {
        let sandbox = |netns: &str, interfaces: &str| {
            let cached = cached(&format!(
                r#"{{"containerId": "c1", "ifName": "eth0", "networkName": "n", "netns": "{netns}",
                    "result": {{"interfaces": [{interfaces}]}}}}"#
            ));
            cached.sandbox().map(Path::to_owned)
        };
        let interfaces = r#"{"name": "veth1"}, {"name": "eth0", "sandbox": "/run/netns/a"}"#;
        assert_eq!(sandbox("/run/netns/b", interfaces).as_deref(), Some(Path::new("/run/netns/b")));
        assert_eq!(sandbox("", interfaces).as_deref(), Some(Path::new("/run/netns/a")));
        assert_eq!(sandbox("", r#"{"name": "veth1"}"#), None);
    }

    #[test]
    fn the_config_says_what_is_exempt() {
        let subnets = |config: &str| {
            cached(&format!(
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
