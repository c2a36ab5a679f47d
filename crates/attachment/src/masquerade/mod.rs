//! Masquerading of pods with nf_tables.
//!
//! The output of `nft list table inet weir` for a pod 10.88.0.5/16 of network `podnet`:
//!
//! ```text
//! table inet weir {
//!     set attachments {                  # key: digest of the owner
//!         type mark . mark . mark . mark
//!         elements = { 0x0f… . 0x1a… . 0x93… . 0x4c… comment "podnet/3fd…/eth0" }
//!     }
//!     map owners {                       # address: digest of the owner . prefix length
//!         type ipv6_addr : mark . mark . mark . mark . mark
//!         elements = { ::ffff:10.88.0.5 : 0x0f… . 0x1a… . 0x93… . 0x4c… . 0x00000010 }
//!     }
//!     map subnets-ipv4-16 {              # one per prefix length in use
//!         type ipv4_addr : verdict
//!         elements = { 10.88.0.0 : jump from-10.88.0.0/16 }
//!     }
//!     set pods-10.88.0.0/16 {            # one per subnet
//!         type ipv4_addr
//!         elements = { 10.88.0.5 comment "podnet/3fd…/eth0" }
//!     }
//!     chain from-10.88.0.0/16 {          # one per subnet
//!         ip saddr @pods-10.88.0.0/16 ip daddr != 10.88.0.0/16 ip daddr != 224.0.0.0/4 masquerade
//!     }
//!     chain postrouting {
//!         type nat hook postrouting priority srcnat; policy accept;
//!         ip saddr & 255.255.0.0 vmap @subnets-ipv4-16
//!     }
//! }
//! ```
//!
//! - A packet costs one lookup per prefix length in use and one in its subnet's set; adding or removing a pod
//!   touches one element of each set. Neither cost depends on the number of pods, networks or subnets. (With one
//!   `jump` per pod in a verdict map, the kernel would walk the whole map at each addition, to find loops.)
//! - An attachment's element carries its addresses in user data, so that DEL needs no namespace, no earlier result and
//!   no dump.
//! - `owners` maps each address to its attachment, and a transaction proves it: see [`nft::Claim`].
//! - The table and the objects of a subnet stay when their last pod goes.
//! - An addition that finds its sets does not look for the rules: a transaction cannot ask for a rule without changing
//!   it, and a request of its own would cost every pod a message. So after `nft flush table inet weir`, which deletes the
//!   rules and leaves the sets, only CHECK notices. A table that was deleted is created again.

mod base;
mod check;
mod record;
mod subnet;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use linux::{Attempts, Error, Feature, Result};
use nft::{Batch, Claim, Claimant, Digest, Element, FoundChain, Nftables, UserData, unsettled};
use nix::errno::Errno;

use self::base::{ATTACHMENTS, OWNERS, TABLE, create_subnet};
use self::record::Holder;
use self::subnet::Subnet;

pub use self::base::probe;
pub use self::check::check;

/// Masquerades what `claimant` sends from `addresses` to anywhere but the address's own subnet and multicast. Each address
/// comes with its subnet's prefix length (`10.88.0.5/16`).
///
/// Afterwards the claimant masquerades exactly these addresses: adding them again is not an error, an address that another
/// claimant left behind is taken over, and its earlier addresses are removed. All of it happens at once or not at all.
///
/// Equivalent to `nft add element inet weir pods-10.88.0.0/16 { 10.88.0.5 comment "…" }`. Creates the table and the
/// subnet's rule if they do not exist.
///
/// # Errors
/// [`Error::MissingFeature`] when the kernel cannot masquerade, [`Error::Refused`] and [`Error::Netlink`]; an error when
/// there are more addresses than the kernel holds for one element (20 IPv4, or 7 IPv6, always fit).
pub fn add(nftables: &mut Nftables, claimant: &Claimant, addresses: &[IpNetwork]) -> Result<()> {
    if addresses.is_empty() {
        return Ok(());
    }
    let operation = format_args!("masquerade {claimant}");
    let wanted = Wanted::new(claimant, addresses)
        .ok_or_else(|| Error::Other(format!("cannot {operation}: too many addresses")))?;
    let mut stale: Option<Vec<Held>> = None;
    for () in Attempts::default() {
        match nftables.transact(wanted.batch(stale.as_deref())) {
            Ok(()) => return Ok(()),
            Err(failed) if failed.is(Errno::ENOENT) => {
                let replaced = stale.iter().flatten().filter_map(Held::pod);
                let mut subnets: Vec<Subnet> =
                    wanted.pods.iter().copied().chain(replaced).map(Subnet::of).collect();
                subnets.dedup();
                for subnet in subnets {
                    create_subnet(nftables, subnet)?;
                }
            }
            Err(failed) if failed.is_conflict() => {
                stale = Some(held(nftables, &wanted).map_err(|failed| failed.during(operation))?);
            }
            Err(failed) => return Err(failed.missing(Feature::NftablesNat, operation)),
        }
    }
    Err(unsettled(operation, TABLE))
}

/// Stops masquerading for `claimant`. Addresses that another claimant has by now stay. Returns whether it had any; to have
/// none is not an error, also in a kernel without nf_tables.
///
/// Equivalent to `nft delete element inet weir …` on each of the claimant's elements. The kernel frees them when `nftables`
/// is dropped: see [`Nftables`].
///
/// # Errors
/// [`Error::Refused`] and [`Error::Netlink`].
pub fn remove(nftables: &mut Nftables, claimant: &Claimant) -> Result<bool> {
    remove_with(nftables, claimant, &[])
}

/// As [`remove`], and deletes `chains` in the same transaction, except those that were replaced since they were read: the
/// kernel frees everything after one grace period.
///
/// # Errors
/// [`Error::Refused`] and [`Error::Netlink`]. Then nothing is removed, or only the chains.
pub fn remove_with(nftables: &mut Nftables, claimant: &Claimant, chains: &[FoundChain]) -> Result<bool> {
    remove_all(nftables, claimant.digest, chains)
        .map_err(|failed| failed.during(format_args!("stop masquerading {claimant}")))
}

/// Returns the claimants that masquerade, in no particular order, for GC.
///
/// While others add and remove, one may be missing; the next GC sees it.
///
/// Equivalent to `nft list set inet weir attachments`.
///
/// # Errors
/// [`Error::Refused`] and [`Error::Netlink`].
pub fn list(nftables: &mut Nftables) -> Result<Vec<Claimant>> {
    let mut found = nftables
        .elements(TABLE, ATTACHMENTS, record::claimant)
        .map_err(|failed| failed.during(format_args!("list the masqueraded attachments")))?;
    // The kernel may show an element twice when its hash table grows in the middle.
    found.sort_unstable_by_key(|claimant| claimant.digest);
    found.dedup();
    Ok(found)
}

fn remove_all(nftables: &mut Nftables, owner: Digest, chains: &[FoundChain]) -> nft::Result<bool> {
    let addresses = match recorded(nftables, owner) {
        Err(failed) if failed.is_missing_subsystem() => None,
        addresses => addresses?,
    };
    let Some(addresses) = addresses else {
        return nftables.delete_found_chains(chains).map(|()| false);
    };
    let claims = addresses
        .into_iter()
        .map(|pod| Held { address: pod.ip(), holder: Holder { owner, prefix: pod.prefix() } }.claim())
        .collect();
    nftables.give_back(TABLE, &Element::new(ATTACHMENTS, owner.0), claims, chains).map(|()| true)
}

/// Returns the addresses that a claimant's element records; `None` without an element.
fn recorded(nftables: &mut Nftables, owner: Digest) -> nft::Result<Option<Vec<IpNetwork>>> {
    nftables.element(TABLE, ATTACHMENTS, &owner.0, |element| record::addresses(element.user_data()))
}

/// Returns the holder of an address.
fn holder(nftables: &mut Nftables, address: IpAddr) -> nft::Result<Option<Holder>> {
    let key = record::owners_key(address);
    let found = nftables.element(TABLE, OWNERS, &key, |element| Holder::read(element.data()))?;
    Ok(found.flatten())
}

/// Returns the entries that must go first: the claimant's earlier ones, and those of others for the wanted addresses.
fn held(nftables: &mut Nftables, wanted: &Wanted<'_>) -> nft::Result<Vec<Held>> {
    let before = recorded(nftables, wanted.claimant.digest)?.unwrap_or_default();
    let mut held: Vec<Held> = Vec::new();
    for address in before.iter().chain(&wanted.pods).map(|pod| pod.ip()) {
        let is_wanted = wanted.pods.iter().any(|pod| pod.ip() == address);
        let is_known = held.iter().any(|held| held.address == address);
        let holder = if is_known { None } else { holder(nftables, address)? };
        if let Some(holder) = holder.filter(|holder| is_wanted || holder.owner == wanted.claimant.digest) {
            held.push(Held { address, holder });
        }
    }
    Ok(held)
}

/// An address and its holder.
struct Held {
    address: IpAddr,
    holder: Holder,
}

impl Held {
    fn pod(&self) -> Option<IpNetwork> {
        IpNetwork::new(self.address, self.holder.prefix).ok()
    }

    /// Returns the elements: that of the address's holder, and that in its subnet's set.
    fn claim(&self) -> Claim {
        let holder = Element::new(OWNERS, record::owners_key(self.address)).with_data(self.holder.to_bytes());
        let address = nft::octets(self.address);
        let in_subnet = self.pod().map(|pod| Element::new(Subnet::of(pod).pods(), address));
        Claim { holder, elements: in_subnet.into_iter().collect() }
    }
}

/// The addresses that a claimant shall have.
struct Wanted<'a> {
    claimant: &'a Claimant,
    /// The element that records them.
    record: Element,
    pods: Vec<IpNetwork>,
}

impl<'a> Wanted<'a> {
    /// Returns `None` if there are more addresses than can be recorded.
    fn new(claimant: &'a Claimant, addresses: &[IpNetwork]) -> Option<Self> {
        let mut pods: Vec<IpNetwork> = Vec::with_capacity(addresses.len());
        for pod in addresses {
            if !pods.iter().any(|known| known.ip() == pod.ip()) {
                pods.push(*pod);
            }
        }
        let user_data = record::user_data(&claimant.comment, &pods)?;
        let record = Element::new(ATTACHMENTS, claimant.digest.0).with_user_data(&user_data);
        Some(Self { claimant, record, pods })
    }

    /// Returns the transaction, which deletes `stale` first.
    fn batch(&self, stale: Option<&[Held]>) -> Batch {
        let mut batch = Batch::new(TABLE);
        if let Some(stale) = stale {
            for held in stale {
                batch.give_back(&held.claim());
            }
            batch.delete_expected(&self.record);
        }
        let comment = UserData::of_comment(&self.claimant.comment);
        for pod in &self.pods {
            let holder = Holder { owner: self.claimant.digest, prefix: pod.prefix() };
            let mut claim = Held { address: pod.ip(), holder }.claim();
            for element in &mut claim.elements {
                element.user_data = comment.bytes().to_vec();
            }
            batch.take(&claim);
        }
        batch.create_element(&self.record);
        batch
    }
}
