//! Whose a pair is, where it does not say so itself, or has no room for all of it: what runtimes keep knows.
//!
//! Pods that the reference plugins attached have no alias. Runtimes keep each attachment's result, mostly with the
//! host's end of the pair, and the path of the pod's namespace. And what a config exempts from a limit stands
//! nowhere else once somebody deleted the filters.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use bandwidth::Subnets;
use cni::Attachment;
use linux::{Link, Namespace, NamespaceNumber, Rtnetlink};

use crate::read_file::read_file;

use super::error::Error;
use super::kept::Kept;

/// The attachments of which something is kept.
#[derive(Default)]
pub(crate) struct Pods {
    /// The latest comes last.
    kept: Vec<Kept>,
    /// By what this namespace calls the pod's; looked up when somebody asks.
    by_number: OnceCell<HashMap<NamespaceNumber, Vec<Attachment>>>,
    /// What could not be read: more may be known there.
    pub failures: Vec<Error>,
}

impl Pods {
    /// Reads what libcni and `weir attach` keep, as far as there is any; a file of another kind tells nothing.
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
        let kept = files.iter().filter_map(|file| serde_json::from_slice(&read_file(file).ok()?).ok());
        pods.kept.extend(kept);
        pods
    }

    /// Whose pair `end`, its end on the host, belongs to; `said` is what the pair says of itself, which may be
    /// without the pod's name, or with its beginning only.
    pub fn identify(&self, host: &mut Rtnetlink, end: &Link, said: Option<Attachment>) -> Option<Attachment> {
        let Some(said) = said else { return self.behind(host, end) };
        if said.pod.is_some() && !said.pod_is_cut() {
            return Some(said);
        }
        let whole = self.of(&said).map(Kept::attachment);
        whole.filter(|whole| whole.pod.is_some()).or(Some(said))
    }

    /// What the config of an attachment exempts from limits; none when nobody knows the config.
    pub fn subnets(&self, attachment: &Attachment) -> Option<Subnets> {
        self.of(attachment)?.subnets()
    }

    fn of(&self, attachment: &Attachment) -> Option<&Kept> {
        self.kept.iter().rfind(|kept| kept.is_of(attachment))
    }

    /// The attachment whose host's end is `end`: the result names it, or tells in which namespace and by which
    /// name the other end is.
    fn behind(&self, host: &mut Rtnetlink, end: &Link) -> Option<Attachment> {
        let by_result = self.kept.iter().rfind(|kept| kept.has_host_end(&end.name));
        by_result.map(Kept::attachment).or_else(|| self.at_other_end(host, end))
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
        for kept in &self.kept {
            let Some(sandbox) = kept.sandbox() else { continue };
            let number = Namespace::open(sandbox).and_then(|namespace| host.number_of(&namespace));
            if let Ok(number) = number {
                by_number.entry(number).or_default().push(kept.attachment());
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

    /// Whose pair the link with this name is, when it says this of itself.
    fn identify(pods: &Pods, name: &str, said: Option<Attachment>) -> Option<Attachment> {
        let mut host = Rtnetlink::open().unwrap();
        let lo = host.link_by_name("lo").unwrap().unwrap();
        pods.identify(&mut host, &Link { name: name.to_owned(), ..lo }, said)
    }

    #[test]
    fn libcnis_result_tells_the_pod_behind_an_interface() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cbr0-c1-eth0"), cached("c1")).unwrap();
        fs::write(folder.path().join("torn"), "{").unwrap();
        let pods = Pods::read_from(&[folder.path(), &folder.path().join("absent")]);
        let attachment = identify(&pods, "veth1", None).unwrap();
        assert_eq!((attachment.container_id.as_str(), attachment.pod.as_deref()), ("c1", Some("shop/web-0")));
        assert_eq!(identify(&pods, "eth0", None), None);
        assert_eq!(pods.kept[0].sandbox(), Some(Path::new("/run/netns/a")));
        assert!(pods.failures.is_empty());
    }

    #[test]
    fn a_name_that_is_missing_or_cut_off_is_completed_and_a_whole_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cbr0-c1-eth0"), cached("c1")).unwrap();
        let pods = Pods::read_from(&[folder.path()]);
        let whole = pods.kept[0].attachment();
        for pod in [None, Some("shop/w…".to_owned())] {
            let said = Attachment { pod, ..whole.clone() };
            assert_eq!(identify(&pods, "veth7", Some(said)), Some(whole.clone()));
        }
        for other in [
            Attachment { pod: Some("shop/db-0".to_owned()), ..whole.clone() },
            Attachment { container_id: "c2".to_owned(), pod: Some("shop/w…".to_owned()), ..whole },
        ] {
            assert_eq!(identify(&pods, "veth1", Some(other.clone())), Some(other));
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
        let pods = Pods::read_from(&[folder.path()]);
        assert_eq!(identify(&pods, "veth1", None).unwrap().container_id, "new");
    }
}
