//! Who is behind an interface of the host that says nothing of itself: the results that runtimes keep know.
//!
//! Pods that the reference plugins attached have no alias. libcni keeps each attachment's result, mostly with the
//! host's end of the pair, and the path of the pod's namespace (`libcni/api.go`, `cacheAdd`); so does `weir attach`.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use cni::Attachment;
use linux::{Link, Namespace, NamespaceNumber, Rtnetlink};
use serde::Deserialize;

use super::error::Error;

/// The attachments of which results are kept.
#[derive(Default)]
pub(crate) struct Pods {
    by_host_interface: HashMap<String, Attachment>,
    by_sandbox: Vec<(PathBuf, Attachment)>,
    /// The same by what this namespace calls the sandbox; looked up when somebody asks.
    by_number: OnceCell<HashMap<NamespaceNumber, Vec<Attachment>>>,
    /// What could not be read: more may be known there.
    pub failures: Vec<Error>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cached {
    container_id: String,
    if_name: String,
    network_name: String,
    /// Older versions of libcni do not keep it.
    #[serde(default)]
    netns: String,
    #[serde(default)]
    cni_args: Vec<(String, String)>,
    result: CachedResult,
}

/// Without interfaces before version 0.3.0.
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
    /// Reads the results that libcni and `weir attach` keep, as far as there are any; a file that is none tells
    /// nothing.
    pub fn read() -> Self {
        Self::read_from(&[cni::LIBCNI_RESULTS, cni::OWN_RESULTS].map(Path::new))
    }

    fn read_from(folders: &[&Path]) -> Self {
        let mut pods = Self::default();
        let mut files = Vec::new();
        for folder in folders {
            match fs::read_dir(folder) {
                Ok(entries) => files.extend(entries.flatten().map(|entry| entry.path())),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(source) => pods.failures.push(Error::Results { path: folder.into(), source }),
            }
        }
        // A runtime that could not detach keeps the result, and a later pod may have got the name again.
        files.sort_by_cached_key(|file| fs::metadata(file).and_then(|metadata| metadata.modified()).ok());
        for cached in files.iter().filter_map(|file| Self::cached(file)) {
            pods.add(cached);
        }
        pods
    }

    fn cached(file: &Path) -> Option<Cached> {
        serde_json::from_slice(&fs::read(file).ok()?).ok()
    }

    fn add(&mut self, cached: Cached) {
        let argument =
            |key: &str| cached.cni_args.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        let pod = argument("K8S_POD_NAMESPACE")
            .zip(argument("K8S_POD_NAME"))
            .map(|(namespace, name)| format!("{namespace}/{name}"));
        let attachment = Attachment {
            network: cached.network_name,
            container_id: cached.container_id,
            interface: cached.if_name,
            pod,
        };
        let mut sandbox = cached.netns;
        for interface in cached.result.interfaces {
            if interface.sandbox.is_empty() {
                self.by_host_interface.insert(interface.name, attachment.clone());
            } else if sandbox.is_empty() {
                sandbox = interface.sandbox;
            }
        }
        if !sandbox.is_empty() {
            self.by_sandbox.push((sandbox.into(), attachment));
        }
    }

    /// The attachment whose host's end is `end`: the result names it, or tells in which namespace and by which
    /// name the other end is.
    pub fn behind(&self, host: &mut Rtnetlink, end: &Link) -> Option<Attachment> {
        self.by_host_interface.get(&end.name).cloned().or_else(|| self.at_other_end(host, end))
    }

    /// What cannot be looked at tells nothing here.
    fn at_other_end(&self, host: &mut Rtnetlink, end: &Link) -> Option<Attachment> {
        let by_number = self.by_number.get_or_init(|| self.number(host));
        let candidates = by_number.get(&end.peer_namespace?)?;
        let other = host.peer(end).ok().flatten()?;
        candidates.iter().rfind(|attachment| attachment.interface == other.name).cloned()
    }

    fn number(&self, host: &mut Rtnetlink) -> HashMap<NamespaceNumber, Vec<Attachment>> {
        let mut by_number: HashMap<_, Vec<_>> = HashMap::new();
        for (path, attachment) in &self.by_sandbox {
            let number = Namespace::open(path).and_then(|namespace| host.number_of(&namespace));
            if let Ok(number) = number {
                by_number.entry(number).or_default().push(attachment.clone());
            }
        }
        by_number
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn cached(container_id: &str) -> String {
        r#"{"kind": "cniCacheV1", "containerId": "ID", "config": "e30=", "ifName": "eth0",
            "networkName": "cbr0", "cniArgs": [["IgnoreUnknown", "1"], ["K8S_POD_NAMESPACE", "shop"],
            ["K8S_POD_NAME", "web-0"]], "result": {"cniVersion": "1.0.0", "interfaces": [
            {"name": "cni0"}, {"name": "veth1"}, {"name": "eth0", "sandbox": "/run/netns/a"}]}}"#
            .replace("ID", container_id)
    }

    #[test]
    fn libcnis_result_tells_the_pod_behind_an_interface() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cbr0-c1-eth0"), cached("c1")).unwrap();
        fs::write(folder.path().join("torn"), "{").unwrap();
        let pods = Pods::read_from(&[folder.path(), &folder.path().join("absent")]);
        let attachment = &pods.by_host_interface["veth1"];
        assert_eq!((attachment.container_id.as_str(), attachment.pod.as_deref()), ("c1", Some("shop/web-0")));
        assert!(!pods.by_host_interface.contains_key("eth0"));
        assert_eq!(pods.by_sandbox, [(PathBuf::from("/run/netns/a"), attachment.clone())]);
        assert!(pods.failures.is_empty());
    }

    #[test]
    fn of_two_results_with_one_interface_the_later_counts() {
        let folder = tempfile::tempdir().unwrap();
        for (id, age) in [("new", 0), ("old", 3600)] {
            let path = folder.path().join(format!("cbr0-{id}-eth0"));
            fs::write(&path, cached(id)).unwrap();
            let file = fs::File::options().append(true).open(path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        let pods = Pods::read_from(&[folder.path()]);
        assert_eq!(pods.by_host_interface["veth1"].container_id, "new");
    }
}
