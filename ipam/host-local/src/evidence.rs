//! What on this node says that an attachment, or an address, is in use.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::SystemTime;

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
}

/// What was found on the node at one moment.
#[derive(Default)]
pub struct Evidence {
    carried: HashMap<IpAddr, Vec<Carrier>>,
    /// Network, container ID, interface.
    attached: HashSet<(String, String, String)>,
    /// Texts that may be the container ID in a result's name, which has no unique reading.
    named: HashSet<String>,
    has_results: bool,
    /// When the look began, if there was one: what is younger may have come into use behind it.
    begun: Option<SystemTime>,
    /// What could not be looked at. What was not found may be there then.
    pub failures: Vec<String>,
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
        match Namespace::existing() {
            Ok(existing) => {
                evidence.failures.extend(existing.failures.iter().map(ToString::to_string));
                let pairs = pairs().unwrap_or_else(|error| {
                    evidence.failures.push(error.to_string());
                    HashMap::new()
                });
                for namespace in &existing.namespaces {
                    if let Err(error) = evidence.look_into(namespace, &pairs) {
                        evidence.failures.push(error.to_string());
                    }
                }
            }
            Err(error) => evidence.failures.push(error.to_string()),
        }
        evidence
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

    fn look_into(&mut self, namespace: &Namespace, pairs: &HashMap<u32, u32>) -> linux::Result<()> {
        let mut netlink: Rtnetlink = namespace.rtnetlink()?;
        let is_here = namespace.is_current()?;
        for (link, address) in netlink.all_addresses()? {
            let address = address.network.ip();
            if address.is_loopback() {
                continue;
            }
            // It may have gone with its address meanwhile.
            let Some(link) = netlink.link_by_index(link)? else { continue };
            let leads_here =
                link.is("veth") && link.peer.is_some_and(|peer| pairs.get(&peer) == Some(&link.index));
            self.carried.entry(address).or_default().push(Carrier {
                place: format!("{} in {}", link.name, namespace.path().display()),
                is_from_here: is_here || leads_here,
            });
        }
        for link in netlink.links_of_kind("veth")? {
            if let Some(attachment) = link.alias.as_deref().and_then(cni::Attachment::parse) {
                self.attached.insert((attachment.network, attachment.container_id, attachment.interface));
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
        match holder {
            Holder::Attachment { container_id, interface } => {
                self.attached.contains(&(network.to_owned(), container_id.clone(), interface.clone()))
            }
            Holder::Container { container_id } => {
                self.attached.iter().any(|(name, id, _)| name == network && id == container_id)
            }
            Holder::Stranger | Holder::Nobody => false,
        }
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
            && !self.attached.iter().any(|(_, id, _)| id == container_id)
            && self.carriers(address).is_empty()
    }
}

/// The other end's index of each end of a veth pair in the current namespace.
fn pairs() -> linux::Result<HashMap<u32, u32>> {
    let ends = Rtnetlink::open()?.links_of_kind("veth")?;
    Ok(ends.into_iter().filter_map(|end| Some((end.index, end.peer?))).collect())
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
        let carrier = Carrier { place: "eth0".to_owned(), is_from_here: false };
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
