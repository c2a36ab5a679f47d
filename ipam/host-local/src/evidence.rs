//! What on this node says that an attachment, or an address, is in use.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use cni::Attachment;
use linux::{Namespace, Rtnetlink};

use crate::holder::Holder;

/// Where results of attachments are kept.
const RESULTS: [&str; 2] = [cni::LIBCNI_RESULTS, cni::OWN_RESULTS];

/// An interface that has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carrier {
    /// Such as `eth0 in /run/netns/pod1`.
    pub place: String,
    /// Whether it is of this node's pod networks: here, or the other end of a veth pair from here. Namespaces
    /// of other nodes can be seen as well, where a node is a container (kind); they have the same subnets.
    pub is_from_here: bool,
    /// The namespace that it is in, when it may be a pod's of this node: not this one, and not behind a veth pair
    /// that leads elsewhere.
    pod_namespace: Option<Occupancy>,
}

/// Whether processes live in a pod's namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occupancy {
    /// No process is in it: between the start of its containers, or left over.
    Empty,
    /// A process is in it.
    Lived,
}

/// What was found on the node at one moment.
#[derive(Default)]
pub struct Evidence {
    carried: HashMap<IpAddr, Vec<Carrier>>,
    /// What veth pairs say that they are, and the namespaces of the ends that are in a pod's.
    attached: HashMap<String, Pair>,
    /// Texts that may be the container ID in a result's name, which has no unique reading.
    named: HashSet<String>,
    has_results: bool,
    /// When the look began, if there was one: what is younger may have come into use behind it.
    begun: Option<SystemTime>,
    /// What could not be looked at. What was not found may be there then.
    pub failures: Vec<String>,
    /// Why there was no look into namespaces at all.
    pub(crate) blindness: Option<linux::Error>,
}

impl Evidence {
    /// Looks into every network namespace that exists and at the names of the results that are kept.
    pub fn gather() -> Self {
        Self::with_results_in(&RESULTS.map(PathBuf::from))
    }

    fn with_results_in(folders: &[PathBuf]) -> Self {
        let mut evidence = Self { begun: Some(SystemTime::now()), ..Self::default() };
        for folder in folders {
            match fs::read_dir(folder) {
                Ok(entries) => {
                    // Only what libcni keeps tells that a runtime has forgotten a container.
                    evidence.has_results |= folder == &folders[0];
                    for entry in entries {
                        match entry {
                            Ok(entry) => evidence.note_result(&entry.file_name().to_string_lossy()),
                            Err(error) => {
                                evidence.failures.push(format!("cannot read {}: {error}", folder.display()));
                            }
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => evidence.failures.push(format!("cannot read {}: {error}", folder.display())),
            }
        }
        if let Err(error) = evidence.look_into_namespaces() {
            evidence.failures.push(error.to_string());
            evidence.blindness = Some(error);
        }
        evidence
    }

    fn look_into_namespaces(&mut self) -> linux::Result<()> {
        let mut host = Rtnetlink::open()?;
        let (mut failures, mut here) = (Vec::new(), Ok(()));
        let unseen = Namespace::visit_existing(|namespace, has_process| {
            let occupancy = if has_process { Occupancy::Lived } else { Occupancy::Empty };
            match self.look_into(namespace, occupancy, &mut host) {
                // All pairs of this node are here.
                Err(error) if namespace.is_current().unwrap_or(true) => here = Err(error),
                outcome => failures.extend(outcome.err()),
            }
        })?;
        self.failures.extend(unseen.iter().chain(&failures).map(ToString::to_string));
        here
    }

    /// A node on which nothing is attached.
    #[cfg(test)]
    pub(crate) fn of_an_empty_node() -> Self {
        Self { has_results: true, ..Self::default() }
    }

    fn note_result(&mut self, name: &str) {
        let dashes: Vec<_> = name.match_indices('-').map(|(index, _)| index).collect();
        for (number, start) in dashes.iter().enumerate() {
            for end in &dashes[number + 1..] {
                self.named.insert(name[start + 1..*end].to_owned());
            }
        }
    }

    fn look_into(
        &mut self,
        namespace: &Namespace,
        occupancy: Occupancy,
        host: &mut Rtnetlink,
    ) -> linux::Result<()> {
        let mut netlink: Rtnetlink = namespace.rtnetlink()?;
        let is_here = namespace.is_current()?;
        for (link, address) in netlink.all_addresses()? {
            let address = address.network.ip();
            if address.is_loopback() {
                continue;
            }
            // It may have gone with its address meanwhile.
            let Some(link) = netlink.link_by_index(link)? else { continue };
            let leads_here = !is_here && link.is("veth") && host.other_end(&link, namespace)?.is_some();
            let is_pods = !is_here && (leads_here || !(link.is("veth") || link.is("bridge")));
            self.carried.entry(address).or_default().push(Carrier {
                place: format!("{} in {}", link.name, namespace.path().display()),
                is_from_here: is_here || leads_here,
                pod_namespace: is_pods.then_some(occupancy),
            });
        }
        for link in netlink.links_of_kind("veth")? {
            if let Some(attachment) = link.alias.as_deref().and_then(Attachment::parse) {
                // The pods of another node may have the same names.
                let leads_here = !is_here && host.other_end(&link, namespace)?.is_some();
                let pair = self.attached.entry(identity(&attachment)).or_insert_with(|| Pair::of(attachment));
                pair.pod_namespaces.extend(leads_here.then_some(occupancy));
                pair.has_end_here |= is_here;
            }
        }
        Ok(())
    }

    /// Whether what changed at this time may have come into use after the look.
    pub(crate) fn may_have_missed(&self, time: SystemTime) -> bool {
        self.begun.is_some_and(|begun| time >= begun)
    }

    /// Whether nothing was hidden from the look, so that what was not found is not there: everything could be
    /// opened, and a runtime keeps its results here.
    pub fn is_complete(&self) -> bool {
        self.failures.is_empty() && self.has_results
    }

    /// The interfaces that carry the address.
    pub fn carriers(&self, address: IpAddr) -> &[Carrier] {
        self.carried.get(&address).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a veth pair says that it belongs to this attachment of `network`.
    pub fn has_pair(&self, network: &str, holder: &Holder) -> bool {
        !self.pairs(network, holder).is_empty()
    }

    /// As [`Evidence::has_pair`], with an end in this namespace.
    pub(crate) fn has_pair_here(&self, network: &str, holder: &Holder) -> bool {
        self.pairs(network, holder).iter().any(|pair| pair.has_end_here)
    }

    fn pairs(&self, network: &str, holder: &Holder) -> Vec<&Pair> {
        match holder {
            Holder::Attachment { container_id, interface } => {
                let named = Attachment {
                    network: network.to_owned(),
                    container_id: container_id.clone(),
                    interface: interface.clone(),
                    pod: None,
                };
                self.attached.get(&identity(&named)).into_iter().collect()
            }
            Holder::Container { container_id } => {
                let is_of = |pair: &&Pair| {
                    pair.attachment.is_in(network) && pair.attachment.is_of_container(container_id)
                };
                self.attached.values().filter(is_of).collect()
            }
            Holder::Stranger | Holder::Nobody => Vec::new(),
        }
    }

    /// Whether a process is in a namespace that carries the address, or that has an interface which says that it is
    /// the holder's.
    pub(crate) fn has_process(&self, network: &str, address: IpAddr, holder: &Holder) -> bool {
        self.pod_namespaces(network, address, holder).contains(&Occupancy::Lived)
    }

    /// Whether the address is carried in a pod's namespace, or an interface there says that it is the holder's, and
    /// no process is in any such namespace, which is certain.
    pub(crate) fn is_without_process(&self, network: &str, address: IpAddr, holder: &Holder) -> bool {
        let namespaces = self.pod_namespaces(network, address, holder);
        self.failures.is_empty()
            && !namespaces.is_empty()
            && namespaces.iter().all(|occupancy| *occupancy == Occupancy::Empty)
    }

    fn pod_namespaces(&self, network: &str, address: IpAddr, holder: &Holder) -> Vec<Occupancy> {
        let carriers = self.carriers(address).iter().filter_map(|carrier| carrier.pod_namespace);
        let pairs = self.pairs(network, holder);
        carriers.chain(pairs.iter().flat_map(|pair| pair.pod_namespaces.iter().copied())).collect()
    }

    /// Whether a runtime keeps a result of the holder's container, in whatever network: who delegates (Multus)
    /// may keep the result of this one under another name.
    pub fn has_result(&self, holder: &Holder) -> bool {
        match holder {
            Holder::Attachment { container_id, .. } | Holder::Container { container_id } => {
                self.named.contains(container_id)
            }
            Holder::Stranger | Holder::Nobody => false,
        }
    }

    /// Whether nothing on this node knows the holder's container any more, in whatever network, nor carries
    /// the address: everything could be looked at, libcni keeps results here, and none is of this
    /// container, which it would be until its DEL succeeded.
    pub(crate) fn knows_gone(&self, address: IpAddr, holder: &Holder) -> bool {
        let (Holder::Attachment { container_id, .. } | Holder::Container { container_id }) = holder else {
            return false;
        };
        self.is_complete()
            && !self.named.contains(container_id)
            && !self.attached.values().any(|pair| pair.attachment.is_of_container(container_id))
            && self.carriers(address).is_empty()
    }
}

/// A veth pair that says what it is.
struct Pair {
    attachment: Attachment,
    pod_namespaces: Vec<Occupancy>,
    /// Whether one of its ends is in this namespace.
    has_end_here: bool,
}

impl Pair {
    fn of(attachment: Attachment) -> Self {
        Self { attachment, pod_namespaces: Vec::new(), has_end_here: false }
    }
}

/// The same text for two values that name the same attachment.
fn identity(attachment: &Attachment) -> String {
    Attachment { pod: None, ..attachment.clone() }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 18, 77, 2));

    #[test]
    fn a_container_is_known_gone_only_where_results_are_kept_and_none_is_its() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("results");
        let holder = Holder::attachment("7f-3a", "eth0");
        let gone = || {
            let mut evidence = Evidence::with_results_in(std::slice::from_ref(&folder));
            evidence.failures.clear();
            evidence.knows_gone(ADDRESS, &holder)
        };
        assert!(!gone());
        fs::create_dir(&folder).unwrap();
        assert!(gone());
        // Under any network's name, and with any interface.
        let result = folder.join("my-net-7f-3a-net1");
        fs::write(&result, "{}").unwrap();
        assert!(!gone());
        fs::rename(result, folder.join("my-net-7f-3ab-net1")).unwrap();
        assert!(gone());
    }

    #[test]
    fn what_an_interface_carries_is_in_use() {
        let mut evidence = Evidence::of_an_empty_node();
        let holder = Holder::attachment("c1", "eth0");
        assert!(evidence.knows_gone(ADDRESS, &holder));
        let carrier = Carrier { place: "eth0".to_owned(), is_from_here: false, pod_namespace: None };
        evidence.carried.insert(ADDRESS, vec![carrier]);
        assert!(!evidence.knows_gone(ADDRESS, &holder));
        evidence.carried.clear();
        evidence.failures.push("cannot open network namespace".to_owned());
        assert!(!evidence.knows_gone(ADDRESS, &holder));
        for holder in [Holder::Stranger, Holder::Nobody] {
            assert!(!Evidence::of_an_empty_node().knows_gone(ADDRESS, &holder));
        }
    }
}
