//! Who is behind an interface of the host that says nothing of itself: libcni's results know.
//!
//! Pods that the reference plugins attached have no alias. libcni keeps each attachment's result, with the
//! host's end of the pair, in `/var/lib/cni/results` (`libcni/api.go`, `cacheAdd`).

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use cni::Attachment;
use serde::Deserialize;

const RESULTS: &str = "/var/lib/cni/results";

/// Attachments by the interface of the host.
#[derive(Default)]
pub(crate) struct Pods(HashMap<String, Attachment>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cached {
    container_id: String,
    if_name: String,
    network_name: String,
    #[serde(default)]
    cni_args: Vec<(String, String)>,
    result: CachedResult,
}

#[derive(Deserialize)]
struct CachedResult {
    #[serde(default)]
    interfaces: Vec<CachedInterface>,
}

#[derive(Deserialize)]
struct CachedInterface {
    name: String,
    #[serde(default)]
    sandbox: String,
}

impl Pods {
    /// Reads libcni's results, as far as there are any; a file that cannot be read tells nothing.
    pub fn read() -> Self {
        Self::read_from(Path::new(RESULTS))
    }

    fn read_from(folder: &Path) -> Self {
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut pods = HashMap::new();
        for cached in files.filter_map(|file| Self::cached(&file.path())) {
            let argument = |key: &str| {
                cached.cni_args.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
            };
            let pod = argument("K8S_POD_NAMESPACE")
                .zip(argument("K8S_POD_NAME"))
                .map(|(namespace, name)| format!("{namespace}/{name}"));
            let attachment = Attachment {
                network: cached.network_name,
                container_id: cached.container_id,
                interface: cached.if_name,
                pod,
            };
            for interface in
                cached.result.interfaces.into_iter().filter(|interface| interface.sandbox.is_empty())
            {
                pods.insert(interface.name, attachment.clone());
            }
        }
        Self(pods)
    }

    fn cached(file: &Path) -> Option<Cached> {
        serde_json::from_slice(&fs::read(file).ok()?).ok()
    }

    /// The attachment whose host's end is `interface`.
    pub fn behind(&self, interface: &str) -> Option<Attachment> {
        self.0.get(interface).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libcnis_result_tells_the_pod_behind_an_interface() {
        let folder = tempfile::tempdir().unwrap();
        let cached = r#"{"kind": "cniCacheV1", "containerId": "c1", "config": "e30=", "ifName": "eth0",
            "networkName": "cbr0", "cniArgs": [["IgnoreUnknown", "1"], ["K8S_POD_NAMESPACE", "shop"],
            ["K8S_POD_NAME", "web-0"]], "result": {"cniVersion": "1.0.0", "interfaces": [
            {"name": "cni0"}, {"name": "veth1"}, {"name": "eth0", "sandbox": "/run/netns/a"}]}}"#;
        fs::write(folder.path().join("cbr0-c1-eth0"), cached).unwrap();
        fs::write(folder.path().join("torn"), "{").unwrap();
        let pods = Pods::read_from(folder.path());
        let attachment = pods.behind("veth1").unwrap();
        assert_eq!((attachment.container_id.as_str(), attachment.pod.as_deref()), ("c1", Some("shop/web-0")));
        assert_eq!(pods.behind("eth0"), None);
    }
}
