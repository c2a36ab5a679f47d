//! What the table keeps of an attachment: its names, its namespace, its ports.
//!
//! An element has room for 256 bytes of user data, so the ports are in elements of their own: part 0 names the
//! attachment, the parts from 1 on have its ports.

use std::collections::{BTreeMap, HashSet};
use std::sync::OnceLock;

use attachment::{Result, claimant, of_namespace};
use cni::Request;
use linux::{Namespace, Rtnetlink};
use nft::{Claim, Claimant, Digest, Element, FoundElement, Nftables, UserData};

use crate::forward::Forward;
use crate::table::{ATTACHMENTS, TABLE};

/// Kind of user data of part 0: number of parts with ports, cookie of the namespace, index of the interface, path.
const NAMESPACE: u8 = 0x88;
/// Kind of user data of the other parts: ports.
const FORWARDS: u8 = 0x89;
/// The length of an entry is one byte, and the kernel keeps 256 bytes of user data, two of which come first.
const PART_CAPACITY: usize = 254;
/// What is left for a path beside the longest comment.
const PATH_CAPACITY: usize = 111;

/// An attachment and its forwarded ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub owner: Claimant,
    home: Home,
    pub forwards: Vec<Forward>,
}

/// Where the pod lives, by which another ADD knows whether it is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Home {
    /// `CNI_NETNS`; empty if there was no room.
    path: String,
    /// 0 where the kernel does not tell.
    cookie: u64,
    /// 0 where there is no such interface.
    interface: u32,
}

/// Returns the owner of an attachment's ports. The network's name is only in the comment, because it may change.
pub(crate) fn owner(request: &Request) -> Claimant {
    let digest = digest(request.container_id(), request.interface());
    Claimant { digest, ..claimant(request) }
}

/// Returns the digest of an attachment.
pub(crate) fn digest(container_id: &str, interface: &str) -> Digest {
    Digest::of(&[container_id, interface])
}

fn key(owner: Digest, part: u32) -> Vec<u8> {
    [&owner.0[..], &part.to_ne_bytes()].concat()
}

impl Record {
    /// Returns the record of an ADD.
    ///
    /// # Errors
    /// When `CNI_NETNS` cannot be used, and the kernel's refusal.
    pub fn new(request: &Request, forwards: Vec<Forward>) -> Result<Self> {
        let netns = request.netns().unwrap_or_default();
        let mut pod =
            Namespace::open(netns).and_then(|namespace| namespace.rtnetlink()).map_err(of_namespace)?;
        let link = pod.link_by_name(request.interface())?;
        let path = if netns.len() <= PATH_CAPACITY { netns.to_owned() } else { String::new() };
        let cookie = pod.namespace_cookie().unwrap_or_default();
        let home = Home { path, cookie, interface: link.map_or(0, |link| link.index) };
        Ok(Self { owner: owner(request), home, forwards })
    }

    /// Returns whether the pod is still there: the interface, in the namespace of ADD. A pod of which that is not known
    /// counts as there. A path may be mounted in another mount namespace only, so a namespace that is not at its path is
    /// looked for by its cookie among those that processes are in.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn is_alive(&self) -> linux::Result<bool> {
        let Home { path, cookie, interface } = &self.home;
        if path.is_empty() {
            return Ok(true);
        }
        let is_the_one =
            |pod: &Rtnetlink| pod.namespace_cookie().is_none_or(|found| *cookie == 0 || found == *cookie);
        let Some(mut pod) = Namespace::open_if_alive(path)?.map(|(_, pod)| pod).filter(is_the_one) else {
            return is_inhabited(*cookie);
        };
        if *interface == 0 || pod.link_by_index(*interface)?.is_some() {
            return Ok(true);
        }
        // It may have been created anew.
        let name = self.owner.comment.splitn(3, '/').nth(2).unwrap_or_default();
        Ok(!name.is_empty() && pod.link_by_name(name)?.is_some())
    }

    /// Returns the element that stands for the whole record.
    pub fn head(&self) -> Element {
        let Home { path, cookie, interface } = &self.home;
        let parts = u8::try_from(self.parts().len()).unwrap_or(u8::MAX);
        let home = [&[parts][..], &cookie.to_ne_bytes(), &interface.to_ne_bytes(), path.as_bytes()].concat();
        let user_data = UserData::of_comment(&self.owner.comment).with(NAMESPACE, &home);
        Element::new(ATTACHMENTS, key(self.owner.digest, 0)).with_user_data(&user_data)
    }

    /// Returns the elements with the ports.
    pub fn tail(&self) -> Vec<Element> {
        let element = |(part, bytes): (u32, Vec<u8>)| Element {
            user_data: entry(&bytes),
            ..Element::new(ATTACHMENTS, key(self.owner.digest, part))
        };
        (1..).zip(self.parts()).map(element).collect()
    }

    fn parts(&self) -> Vec<Vec<u8>> {
        let mut parts: Vec<Vec<u8>> = Vec::new();
        for bytes in self.forwards.iter().map(Forward::to_bytes) {
            match parts.last_mut().filter(|part| part.len() + bytes.len() <= PART_CAPACITY) {
                Some(part) => part.extend(bytes),
                None => parts.push(bytes),
            }
        }
        parts
    }

    /// Returns whether there is room for so many ports.
    pub fn fits(&self) -> bool {
        self.parts().len() <= usize::from(u8::MAX)
    }

    /// Returns what the owner has of the table besides the head.
    pub fn claims(&self) -> Vec<Claim> {
        let tail = self.tail().into_iter().map(|holder| Claim { holder, elements: Vec::new() });
        self.port_claims().chain(self.pod_claims()).chain(tail).collect()
    }

    /// Returns the claims of the host's ports.
    pub fn port_claims(&self) -> impl Iterator<Item = Claim> {
        self.forwards.iter().map(|forward| forward.port_claim(self.owner.digest))
    }

    /// Returns the claims of the pod's ports, each once.
    pub fn pod_claims(&self) -> Vec<Claim> {
        let mut claims: BTreeMap<Vec<u8>, Claim> = BTreeMap::new();
        for claim in self.forwards.iter().map(|forward| forward.pod_claim(self.owner.digest)) {
            match claims.get_mut(&claim.holder.key) {
                None => drop(claims.insert(claim.holder.key.clone(), claim)),
                Some(known) => {
                    let more = claim.elements.into_iter().filter(|element| !known.elements.contains(element));
                    let more: Vec<_> = more.collect();
                    known.elements.extend(more);
                }
            }
        }
        claims.into_values().collect()
    }

    /// Reads the record of an owner; none where there is none.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn find(nftables: &mut Nftables, owner: Digest) -> nft::Result<Option<Self>> {
        let Some(Some((mut record, parts))) =
            nftables.element(TABLE, ATTACHMENTS, &key(owner, 0), Self::read)?
        else {
            return Ok(None);
        };
        for part in 1..=parts {
            let read = |element: FoundElement<'_>| forwards(element.user_data());
            let found = nftables.element(TABLE, ATTACHMENTS, &key(owner, part.into()), read)?;
            record.forwards.extend(found.unwrap_or_default());
        }
        Ok(Some(record))
    }

    /// Returns the records of all attachments, without their ports, for GC.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn list(nftables: &mut Nftables) -> nft::Result<Vec<Self>> {
        let heads = nftables.elements(TABLE, ATTACHMENTS, Self::read)?;
        let mut records: Vec<_> = heads.into_iter().map(|(record, _)| record).collect();
        // The kernel may show an element twice when its hash table grows in the middle.
        records.sort_unstable_by_key(|record| record.owner.digest);
        records.dedup();
        Ok(records)
    }

    /// Reads part 0: the record without its ports, and the number of parts that have them.
    fn read(element: FoundElement<'_>) -> Option<(Self, u8)> {
        let (digest, part) = element.key().split_first_chunk()?;
        let user_data = element.user_data();
        let home = UserData::find(user_data, NAMESPACE).filter(|_| part == [0; 4])?;
        let ([parts, rest @ ..], path) = home.split_first_chunk::<13>()?;
        let (cookie, interface) = rest.split_first_chunk()?;
        let home = Home {
            path: String::from_utf8(path.to_vec()).ok()?,
            cookie: u64::from_ne_bytes(*cookie),
            interface: u32::from_ne_bytes(interface.try_into().ok()?),
        };
        let comment = UserData::comment(user_data).unwrap_or_default();
        let owner = Claimant { comment, digest: Digest(*digest) };
        Some((Self { owner, home, forwards: Vec::new() }, *parts))
    }
}

/// Returns whether a process is in the namespace with this cookie, as far as `/proc` shows. The node's namespaces are
/// looked through once.
fn is_inhabited(cookie: u64) -> linux::Result<bool> {
    static COOKIES: OnceLock<HashSet<u64>> = OnceLock::new();
    if cookie == 0 {
        return Ok(false);
    }
    if let Some(cookies) = COOKIES.get() {
        return Ok(cookies.contains(&cookie));
    }
    let mut cookies = HashSet::new();
    Namespace::visit_existing(|namespace, has_process| {
        if has_process {
            cookies.extend(namespace.rtnetlink().ok().and_then(|pod| pod.namespace_cookie()));
        }
    })?;
    Ok(COOKIES.get_or_init(|| cookies).contains(&cookie))
}

fn forwards(user_data: &[u8]) -> Vec<Forward> {
    let mut rest = UserData::find(user_data, FORWARDS).unwrap_or_default();
    std::iter::from_fn(|| {
        let (forward, after) = Forward::read(rest)?;
        rest = after;
        Some(forward)
    })
    .collect()
}

/// One entry of user data, which has no comment.
fn entry(bytes: &[u8]) -> Vec<u8> {
    [&[FORWARDS, u8::try_from(bytes.len()).unwrap_or(u8::MAX)], bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::tests::forward;

    fn record(forwards: Vec<Forward>) -> Record {
        let owner = Claimant { comment: "x".repeat(127), digest: digest("c1", "eth0") };
        let home = Home { path: "p".repeat(PATH_CAPACITY), cookie: 7, interface: 2 };
        Record { owner, home, forwards }
    }

    #[test]
    fn user_data_never_exceeds_what_the_kernel_keeps() {
        let many = (0..200).map(|_| forward(Some("2001:db8::1"), "fd00::7/64")).collect();
        let record = record(many);
        assert!(record.fits());
        let elements = [vec![record.head()], record.tail()].concat();
        assert!(elements.iter().all(|element| element.user_data.len() <= UserData::CAPACITY));
        let read: Vec<_> = record.tail().iter().flat_map(|element| forwards(&element.user_data)).collect();
        assert_eq!(read, record.forwards);
    }

    #[test]
    fn the_owner_does_not_depend_on_the_networks_name() {
        assert_ne!(digest("c1", "eth0"), digest("c", "1eth0"));
        assert_eq!(forwards(&[FORWARDS, 9, 1]), []);
    }
}
