//! What libcni knows of the pods of this node: it keeps each attachment's config and result.
//!
//! Pods that the reference plugins attached say nothing of themselves; and what a config exempts from a limit
//! stands nowhere else once somebody deleted the filters. The files are in `/var/lib/cni/results`
//! (`libcni/api.go`, `cacheAdd`).

use std::fs;
use std::path::Path;

use bandwidth::Subnets;
use cni::Attachment;
use linux::{Link, Namespace};
use serde::Deserialize;
use serde_json::Value;

use super::base64;

const RESULTS: &str = "/var/lib/cni/results";

/// The attachments that libcni made.
#[derive(Default)]
pub(crate) struct Pods(Vec<Cached>);

/// A file of libcni's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cached {
    container_id: String,
    if_name: String,
    network_name: String,
    /// The network's config, in Base64.
    #[serde(default)]
    config: String,
    /// Path of the pod's network namespace; libcni writes it since 1.3.
    #[serde(default)]
    netns: String,
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
    /// Reads libcni's files, as far as there are any; one that cannot be read tells nothing.
    pub fn read() -> Self {
        Self::read_from(Path::new(RESULTS))
    }

    fn read_from(folder: &Path) -> Self {
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        let cached = files.filter_map(|file| serde_json::from_slice(&fs::read(file.path()).ok()?).ok());
        Self(cached.collect())
    }

    /// Whose pair `link` is an end of; `said` is what it says of itself, which may have been cut off.
    pub fn identify(&self, link: &Link, said: Option<Attachment>) -> Option<Attachment> {
        let Some(said) = said else { return self.behind(link) };
        if said.pod.is_some() && !said.pod_is_cut() {
            return Some(said);
        }
        let whole = self.0.iter().find(|cached| cached.is(&said)).map(Cached::attachment);
        whole.filter(|whole| whole.pod.is_some()).or(Some(said))
    }

    fn behind(&self, link: &Link) -> Option<Attachment> {
        let by_result = self.0.iter().find(|cached| cached.has_host_end(&link.name));
        by_result.or_else(|| self.0.iter().find(|cached| cached.leads_to(link))).map(Cached::attachment)
    }

    /// What the config of an attachment exempts from limits.
    pub fn subnets(&self, attachment: &Attachment) -> Option<Subnets> {
        self.0.iter().find(|cached| cached.is(attachment))?.subnets()
    }
}

impl Cached {
    fn attachment(&self) -> Attachment {
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

    fn is(&self, attachment: &Attachment) -> bool {
        self.network_name == attachment.network
            && self.container_id == attachment.container_id
            && self.if_name == attachment.interface
    }

    fn has_host_end(&self, interface: &str) -> bool {
        let mut interfaces = self.result.interfaces.iter();
        interfaces.any(|known| known.sandbox.is_empty() && known.name == interface)
    }

    /// For results that tell no interface of the host, as those of version 0.2.0: whether the pod's end is the
    /// other one of `link`.
    fn leads_to(&self, link: &Link) -> bool {
        if self.netns.is_empty() || self.result.interfaces.iter().any(|known| known.sandbox.is_empty()) {
            return false;
        }
        let pod = Namespace::open(&self.netns).and_then(|netns| netns.rtnetlink());
        // A pod that is gone is nobody's.
        let end = pod.and_then(|mut pod| pod.link_by_name(&self.if_name)).ok().flatten();
        end.is_some_and(|end| end.peer == Some(link.index) && link.peer == Some(end.index))
    }

    /// By the config of `bandwidth` in the list, or the config itself where it is no list.
    fn subnets(&self) -> Option<Subnets> {
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
    use linux::Rtnetlink;

    use super::*;

    fn lo() -> Link {
        Rtnetlink::open().unwrap().link_by_name("lo").unwrap().unwrap()
    }

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
        let link = |name: &str| Link { name: name.to_owned(), ..lo() };
        let attachment = pods.behind(&link("veth1")).unwrap();
        assert_eq!((attachment.container_id.as_str(), attachment.pod.as_deref()), ("c1", Some("shop/web-0")));
        assert_eq!(pods.identify(&link("veth1"), None), Some(attachment.clone()));
        assert_eq!(pods.behind(&link("eth0")), None);
        for pod in [None, Some("shop/w…".to_owned())] {
            let said = Attachment { pod, ..attachment.clone() };
            assert_eq!(pods.identify(&link("veth7"), Some(said)), Some(attachment.clone()));
        }
    }

    #[test]
    fn the_config_tells_what_is_exempt() {
        let subnets = |config: &str| {
            let cached = format!(
                r#"{{"containerId": "c1", "ifName": "eth0", "networkName": "n", "result": {{}}, "config": "{config}"}}"#
            );
            serde_json::from_str::<Cached>(&cached).unwrap().subnets()
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
