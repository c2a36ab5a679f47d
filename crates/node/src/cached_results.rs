//! The results that runtimes cache: they name the attachment of a pair that has no alias, or an alias that had no room
//! for all of it.
//!
//! Pods that the reference plugins attached have no alias. Runtimes cache the result of each attachment, mostly with
//! the host's end of the pair and the path of the pod's namespace. The config in there says what is exempt from a
//! limit, also when the filters that say so were deleted.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use bandwidth::Subnets;
use cni::Attachment;
use linux::{Link, Namespace, NamespaceNumber, Rtnetlink};

use crate::cached_result::CachedResult;
use crate::error::Error;
use crate::read_file::read_file;

/// The cached results of this node.
#[derive(Default)]
pub(crate) struct CachedResults {
    /// The latest comes last.
    results: Vec<CachedResult>,
    /// By the number that this namespace has for the pod's; filled when it is needed.
    by_number: OnceCell<HashMap<NamespaceNumber, Vec<Attachment>>>,
    /// The folders that could not be read.
    pub failures: Vec<Error>,
}

impl CachedResults {
    /// Reads the results that libcni and `weir attach` cache. Folders may be missing; other files are ignored.
    pub fn read() -> Self {
        Self::read_from(&[cni::LIBCNI_RESULTS, cni::OWN_RESULTS].map(Path::new))
    }

    fn read_from(folders: &[&Path]) -> Self {
        let mut results = Self::default();
        let mut files = Vec::new();
        for folder in folders {
            match fs::read_dir(folder) {
                Ok(entries) => files.extend(entries.flatten().map(|entry| entry.path())),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    let operation = format!("read the results of attachments in {}", folder.display());
                    results.failures.push(Error::io(operation)(error));
                }
            }
        }
        // The result of a pod that could not be detached stays, and a later pod may have the same interface name.
        files.sort_by_cached_key(|file| fs::metadata(file).and_then(|metadata| metadata.modified()).ok());
        let read = files.iter().filter_map(|file| serde_json::from_slice(&read_file(file).ok()?).ok());
        results.results.extend(read);
        results
    }

    /// Returns the attachment of the pair with the host's end `end`. `said` is the one that the pair's alias names; it
    /// may lack the pod's name, or have only the beginning of it.
    pub fn identify(&self, host: &mut Rtnetlink, end: &Link, said: Option<Attachment>) -> Option<Attachment> {
        let Some(said) = said else { return self.behind(host, end) };
        if said.pod.is_some() && !said.pod_is_cut() {
            return Some(said);
        }
        let whole = self.of(&said).map(CachedResult::attachment);
        whole.filter(|whole| whole.pod.is_some()).or(Some(said))
    }

    /// Returns what the config of an attachment exempts from limits; none when the config is not known.
    pub fn subnets(&self, attachment: &Attachment) -> Option<Subnets> {
        self.of(attachment)?.subnets()
    }

    fn of(&self, attachment: &Attachment) -> Option<&CachedResult> {
        self.results.iter().rfind(|result| result.is_of(attachment))
    }

    /// The attachment with the host's end `end`: by its name in a result, or else by namespace and name of its peer.
    fn behind(&self, host: &mut Rtnetlink, end: &Link) -> Option<Attachment> {
        let by_result = self.results.iter().rfind(|result| result.has_host_end(&end.name));
        by_result.map(CachedResult::attachment).or_else(|| self.by_peer(host, end))
    }

    /// The attachment whose interface is the peer of `end`; none when the peer cannot be looked at.
    fn by_peer(&self, host: &mut Rtnetlink, end: &Link) -> Option<Attachment> {
        let by_number = self.by_number.get_or_init(|| self.number(host));
        let candidates = by_number.get(&end.peer_namespace?)?;
        let peer = host.peer(end).ok().flatten()?;
        candidates.iter().rfind(|attachment| attachment.interface == peer.name).cloned()
    }

    fn number(&self, host: &mut Rtnetlink) -> HashMap<NamespaceNumber, Vec<Attachment>> {
        let mut by_number: HashMap<_, Vec<_>> = HashMap::new();
        for result in &self.results {
            let Some(sandbox) = result.sandbox() else { continue };
            let number = Namespace::open(sandbox).and_then(|namespace| host.number_of(&namespace));
            if let Ok(number) = number {
                by_number.entry(number).or_default().push(result.attachment());
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

    /// The attachment of the link with this name and alias.
    fn identify(results: &CachedResults, name: &str, said: Option<Attachment>) -> Option<Attachment> {
        let mut host = Rtnetlink::open().unwrap();
        let lo = host.link_by_name("lo").unwrap().unwrap();
        results.identify(&mut host, &Link { name: name.to_owned(), ..lo }, said)
    }

    #[test]
    fn libcnis_result_names_the_pod_behind_an_interface() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cbr0-c1-eth0"), cached("c1")).unwrap();
        fs::write(folder.path().join("not-json"), "{").unwrap();
        let results = CachedResults::read_from(&[folder.path(), &folder.path().join("absent")]);
        let attachment = identify(&results, "veth1", None).unwrap();
        assert_eq!((attachment.container_id.as_str(), attachment.pod.as_deref()), ("c1", Some("shop/web-0")));
        assert_eq!(identify(&results, "eth0", None), None);
        assert_eq!(results.results[0].sandbox(), Some(Path::new("/run/netns/a")));
        assert!(results.failures.is_empty());
    }

    #[test]
    fn a_name_that_is_missing_or_cut_off_is_completed_and_a_whole_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cbr0-c1-eth0"), cached("c1")).unwrap();
        let results = CachedResults::read_from(&[folder.path()]);
        let whole = results.results[0].attachment();
        for pod in [None, Some("shop/w…".to_owned())] {
            let said = Attachment { pod, ..whole.clone() };
            assert_eq!(identify(&results, "veth7", Some(said)), Some(whole.clone()));
        }
        for other in [
            Attachment { pod: Some("shop/db-0".to_owned()), ..whole.clone() },
            Attachment { container_id: "c2".to_owned(), pod: Some("shop/w…".to_owned()), ..whole },
        ] {
            assert_eq!(identify(&results, "veth1", Some(other.clone())), Some(other));
        }
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
        let results = CachedResults::read_from(&[folder.path()]);
        assert_eq!(identify(&results, "veth1", None).unwrap().container_id, "new");
    }
}
