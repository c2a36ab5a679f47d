//! What on this node shows that an attachment or an address is in use.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use cni::Attachment;
use linux::{Namespace, Rtnetlink};

use crate::holder::Holder;

/// The folders of cached results.
const RESULTS: [&str; 2] = [cni::LIBCNI_RESULTS, cni::OWN_RESULTS];

/// An interface that has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carrier {
    /// Interface and namespace, such as `eth0 in /run/netns/pod1`.
    pub place: String,
    /// Whether it is in this node's pod networks: in this namespace, or with its veth peer here. Where nodes are
    /// containers (kind), other nodes' namespaces are visible too, and they have the same subnets.
    pub is_from_here: bool,
    /// Whether its namespace has processes; `None` unless it may be a pod's namespace of this node: not this namespace,
    /// and not one whose veth peer is elsewhere.
    pod_namespace: Option<Occupancy>,
}

/// Whether a pod's namespace has processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occupancy {
    /// It has none: between two starts of its containers, or left over.
    Empty,
    /// It has some.
    Occupied,
}

/// What was found on the node at one moment.
#[derive(Default)]
pub struct Evidence {
    carried: HashMap<IpAddr, Vec<Carrier>>,
    /// The veth pairs with weir's alias, by their attachment.
    attached: HashMap<String, Pair>,
    /// Every text that may be the container ID in a cached result's name, which cannot be parsed uniquely.
    named: HashSet<String>,
    has_results: bool,
    /// When gathering began: an address that was reserved later may be in use unseen.
    begun: Option<SystemTime>,
    /// What could not be read. An address that was not found may be in use there.
    pub failures: Vec<String>,
    /// Why namespaces could not be visited at all.
    pub(crate) blindness: Option<linux::Error>,
}

impl Evidence {
    /// Visits every network namespace and reads the names of the cached results.
    pub fn gather() -> Self {
        Self::with_results_in(&RESULTS.map(PathBuf::from))
    }

    fn with_results_in(folders: &[PathBuf]) -> Self {
        let mut evidence = Self { begun: Some(SystemTime::now()), ..Self::default() };
        for folder in folders {
            match fs::read_dir(folder) {
                Ok(entries) => {
                    // Only libcni's cache shows that a runtime has forgotten a container.
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
            let occupancy = if has_process { Occupancy::Occupied } else { Occupancy::Empty };
            match self.look_into(namespace, occupancy, &mut host) {
                // This node's pairs have their host's ends here.
                Err(error) if namespace.is_current().unwrap_or(true) => here = Err(error),
                outcome => failures.extend(outcome.err()),
            }
        })?;
        self.failures.extend(unseen.iter().chain(&failures).map(ToString::to_string));
        here
    }

    /// Returns the evidence of a node without attachments.
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
            // It may have been deleted meanwhile.
            let Some(link) = netlink.link_by_index(link)? else { continue };
            let leads_here = !is_here && link.is("veth") && host.local_peer(&link, namespace)?.is_some();
            let is_pods = !is_here && (leads_here || !(link.is("veth") || link.is("bridge")));
            self.carried.entry(address).or_default().push(Carrier {
                place: format!("{} in {}", link.name, namespace.path().display()),
                is_from_here: is_here || leads_here,
                pod_namespace: is_pods.then_some(occupancy),
            });
        }
        for link in netlink.links_of_kind("veth")? {
            if let Some(attachment) = attachment::created_for(&link) {
                // Pods of another node may have the same names.
                let leads_here = !is_here && host.local_peer(&link, namespace)?.is_some();
                let pair = self.attached.entry(identity(&attachment)).or_insert_with(|| Pair::of(attachment));
                pair.pod_namespaces.extend(leads_here.then_some(occupancy));
                pair.has_end_here |= is_here;
            }
        }
        Ok(())
    }

    /// Returns whether an address that was reserved at this time may have come into use unseen.
    pub(crate) fn may_have_missed(&self, time: SystemTime) -> bool {
        self.begun.is_some_and(|begun| time >= begun)
    }

    /// Returns whether an address that was not found is not in use: everything could be read, and a runtime caches its
    /// results here.
    pub fn is_complete(&self) -> bool {
        self.failures.is_empty() && self.has_results
    }

    /// Returns the interfaces that have the address.
    pub fn carriers(&self, address: IpAddr) -> &[Carrier] {
        self.carried.get(&address).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns whether a veth pair's alias names this attachment of `network`.
    pub fn has_pair(&self, network: &str, holder: &Holder) -> bool {
        !self.pairs(network, holder).is_empty()
    }

    /// Returns whether such a pair has an end in this namespace.
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
            Holder::Unknown | Holder::Empty => Vec::new(),
        }
    }

    /// Returns whether a namespace with processes has the address, or an interface whose alias names the holder.
    pub(crate) fn has_process(&self, network: &str, address: IpAddr, holder: &Holder) -> bool {
        self.pod_namespaces(network, address, holder).contains(&Occupancy::Occupied)
    }

    /// Returns whether a pod's namespace has the address, or an interface whose alias names the holder, and it is
    /// certain that no such namespace has processes.
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

    /// Returns whether a runtime caches a result of the holder's container, in any network: a delegating plugin
    /// (Multus) may cache it under another name.
    pub fn has_result(&self, holder: &Holder) -> bool {
        match holder {
            Holder::Attachment { container_id, .. } | Holder::Container { container_id } => {
                self.named.contains(container_id)
            }
            Holder::Unknown | Holder::Empty => false,
        }
    }

    /// Returns whether the holder's container is certainly gone: everything could be read, no interface has the
    /// address, no pair's alias names the container, and libcni caches results here but none of the container, which it
    /// would keep until DEL succeeded.
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

/// A veth pair whose alias names an attachment.
struct Pair {
    attachment: Attachment,
    /// For each end in a pod's namespace, whether that has processes.
    pod_namespaces: Vec<Occupancy>,
    /// Whether an end is in this namespace.
    has_end_here: bool,
}

impl Pair {
    fn of(attachment: Attachment) -> Self {
        Self { attachment, pod_namespaces: Vec::new(), has_end_here: false }
    }
}

/// Returns the same text for every value that names the same attachment.
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
    fn an_address_of_an_interface_is_in_use() {
        let mut evidence = Evidence::of_an_empty_node();
        let holder = Holder::attachment("c1", "eth0");
        assert!(evidence.knows_gone(ADDRESS, &holder));
        let carrier = Carrier { place: "eth0".to_owned(), is_from_here: false, pod_namespace: None };
        evidence.carried.insert(ADDRESS, vec![carrier]);
        assert!(!evidence.knows_gone(ADDRESS, &holder));
        evidence.carried.clear();
        evidence.failures.push("cannot open network namespace".to_owned());
        assert!(!evidence.knows_gone(ADDRESS, &holder));
        for holder in [Holder::Unknown, Holder::Empty] {
            assert!(!Evidence::of_an_empty_node().knows_gone(ADDRESS, &holder));
        }
    }
}
