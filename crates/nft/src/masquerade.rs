//! Adding an attachment's addresses to the table, and removing them.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_core::NLM_F_EXCL;
use nix::errno::Errno;

use super::batch::Batch;
use super::forward;
use super::forwarded::Forward;
use super::objects::{self, Data};
use super::owner::{Digest, Owner};
use super::records::{self, Holder, owners_key};
use super::skeleton::{ATTACHMENTS, OWNERS, TABLE, missing};
use super::subnet::{Subnet, octets};
use super::{Attachment, Failed, Nftables, unsettled};
use linux::Attempts;
use linux::{Error, Result};

impl Nftables {
    /// Masquerades what `owner` sends from `addresses` to anywhere but the address's own subnet and
    /// multicast. Each address comes with its subnet's prefix length (`10.88.0.5/16`).
    ///
    /// Afterwards the owner masquerades exactly these addresses: adding again is no error, an address that
    /// another owner left behind is taken over, and what this owner had before and did not name now is
    /// removed. All of it happens at once or not at all.
    ///
    /// The effect of `nft add element inet weir pods-10.88.0.0/16 { 10.88.0.5 comment "…" }`, and of
    /// creating the table and the subnet's rule when they are not there.
    ///
    /// # Errors
    /// [`Error::MissingFeature`] when the kernel cannot masquerade, [`Error::TooManyAddresses`] when there
    /// are more than the kernel remembers for one element (20 IPv4, or 7 IPv6, always fit),
    /// [`Error::Refused`] and [`Error::Netlink`] for the rest.
    pub fn add_masquerade(&mut self, owner: &Owner<'_>, addresses: &[IpNetwork]) -> Result<()> {
        if addresses.is_empty() {
            return Ok(());
        }
        let operation = format_args!("masquerade {owner}");
        let claim = Claim::new(owner, addresses)
            .ok_or_else(|| Error::TooManyAddresses { operation: operation.to_string() })?;
        let mut stale = None;
        for () in Attempts::default() {
            match self.transact(claim.batch(stale.as_deref())) {
                Ok(()) => return Ok(()),
                Err(failed) if failed.is(Errno::ENOENT) => {
                    let replaced = stale.iter().flatten().filter_map(Held::pod);
                    let mut subnets: Vec<Subnet> =
                        claim.pods.iter().copied().chain(replaced).map(Subnet::of).collect();
                    subnets.dedup();
                    for subnet in subnets {
                        self.create_subnet(subnet)?;
                    }
                }
                Err(failed) if failed.is_conflict() => {
                    stale = Some(self.held(&claim).map_err(|failed| failed.during(operation))?);
                }
                Err(failed) => return Err(missing(failed.during(operation))),
            }
        }
        Err(unsettled(operation, TABLE))
    }

    /// Stops masquerading for `owner`, whatever addresses it has. Addresses that went to another owner
    /// meanwhile stay. Tells whether the owner was known; nothing there is no error, nor is a kernel without
    /// nf_tables.
    ///
    /// The effect of `nft delete element inet weir …` on each of the owner's elements. The kernel frees them
    /// when this value is dropped: see [`Nftables`].
    ///
    /// # Errors
    /// [`Error::Refused`] and [`Error::Netlink`].
    pub fn remove_masquerade(&mut self, owner: &Owner<'_>) -> Result<bool> {
        self.remove(owner.digest(), &[], format_args!("stop masquerading {owner}"))
    }

    /// As [`Nftables::remove_masquerade`] and, for each of `forwards`, [`Nftables::remove_forward`], in one transaction:
    /// the kernel frees both after one grace period.
    ///
    /// # Errors
    /// [`Error::Refused`] and [`Error::Netlink`]; then nothing is removed, or not everything.
    pub fn remove_masquerade_and_forwards(
        &mut self,
        owner: &Owner<'_>,
        forwards: &[Forward],
    ) -> Result<bool> {
        self.remove(owner.digest(), forwards, format_args!("stop masquerading {owner}"))
    }

    /// As [`Nftables::remove_masquerade`], for an attachment that [`Nftables::attachments`] listed.
    ///
    /// # Errors
    /// [`Error::Refused`] and [`Error::Netlink`].
    pub fn remove_attachment(&mut self, attachment: &Attachment) -> Result<bool> {
        self.remove(attachment.digest, &[], format_args!("stop masquerading {attachment}"))
    }

    fn remove(
        &mut self,
        digest: Digest,
        mut forwards: &[Forward],
        operation: std::fmt::Arguments<'_>,
    ) -> Result<bool> {
        let addresses = match self.attachment(digest) {
            Ok(Some(addresses)) => addresses,
            Ok(None) => return self.remove_forwards(forwards).map(|()| false),
            Err(failed) if failed.is_missing_subsystem() => {
                return self.remove_forwards(forwards).map(|()| false);
            }
            Err(failed) => return Err(failed.during(operation)),
        };
        let mut held: Vec<Held> = addresses
            .into_iter()
            .map(|pod| Held { address: pod.ip(), holder: Holder { owner: digest, prefix: pod.prefix() } })
            .collect();
        loop {
            let mut batch = Batch::new(TABLE);
            let attachment = objects::delete_element(&mut batch, ATTACHMENTS, &digest.0);
            let ends: Vec<usize> = held.iter().map(|held| held.remove(&mut batch)).collect();
            let last = batch.len() - 1;
            batch.turn_to(forward::TABLE);
            for forward in forwards {
                forward::delete(&mut batch, &forward.link_name, Some(forward));
            }
            let failed = match self.transact(batch) {
                Ok(()) => return Ok(true),
                Err(failed) => failed,
            };
            // Another process removed the same attachment, with all that it held.
            if failed.is(Errno::ENOENT) && failed.message == attachment {
                return self.remove_forwards(forwards).map(|()| true);
            }
            // One of the chains is gone, or another one by now.
            if failed.is(Errno::ENOENT) && failed.message > last {
                self.remove_forwards(std::mem::take(&mut forwards))?;
                continue;
            }
            // This address is another owner's by now, or somebody deleted the set by hand.
            let lost = ends.iter().position(|end| failed.message > attachment && failed.message <= *end);
            match lost {
                Some(lost) if failed.is_conflict() || failed.is(Errno::ENOENT) => {
                    held.remove(lost);
                }
                _ => return Err(failed.during(operation)),
            }
        }
    }

    fn remove_forwards(&mut self, forwards: &[Forward]) -> Result<()> {
        forwards.iter().try_for_each(|forward| self.remove_forward(forward).map(drop))
    }

    /// Which addresses an owner has, as its attachment says; `None` when there is none.
    pub(crate) fn attachment(
        &mut self,
        digest: Digest,
    ) -> std::result::Result<Option<Vec<IpNetwork>>, Failed> {
        self.element(TABLE, ATTACHMENTS, &digest.0, |element| records::read_attachment(element.user_data()).1)
    }

    /// Who holds an address.
    pub(crate) fn holder(&mut self, address: IpAddr) -> std::result::Result<Option<Holder>, Failed> {
        let found =
            self.element(TABLE, OWNERS, &owners_key(address), |element| Holder::read(element.data()))?;
        Ok(found.flatten())
    }

    /// What must give way to a claim: what its owner held before, and the new addresses that others hold.
    fn held(&mut self, claim: &Claim) -> std::result::Result<Vec<Held>, Failed> {
        let before = self.attachment(claim.owner)?.unwrap_or_default();
        let mut held: Vec<Held> = Vec::new();
        for address in before.iter().chain(&claim.pods).map(|pod| pod.ip()) {
            let is_claimed = claim.pods.iter().any(|pod| pod.ip() == address);
            let is_known = held.iter().any(|held| held.address == address);
            let holder = if is_known { None } else { self.holder(address)? };
            if let Some(holder) = holder.filter(|holder| is_claimed || holder.owner == claim.owner) {
                held.push(Held { address, holder });
            }
        }
        Ok(held)
    }
}

/// An address and its holder, as they were read.
struct Held {
    address: IpAddr,
    holder: Holder,
}

impl Held {
    fn pod(&self) -> Option<IpNetwork> {
        IpNetwork::new(self.address, self.holder.prefix).ok()
    }

    /// Removes the address if it is still this holder's, else makes the batch fail with a
    /// [conflict](Failed::is_conflict) at one of the messages up to the returned index.
    ///
    /// Adding before deleting is what asks: an equal element is left alone, another holder's is refused, and
    /// one that is gone is no obstacle.
    fn remove(&self, batch: &mut Batch) -> usize {
        let key = owners_key(self.address);
        let holder = self.holder.to_bytes();
        objects::add_element(batch, 0, OWNERS, &key, Data::Value(&holder), &[]);
        let mut end = objects::delete_element(batch, OWNERS, &key);
        if let Some(pod) = self.pod() {
            let (pods, address) = (Subnet::of(pod).pods(), octets(self.address));
            objects::add_element(batch, 0, &pods, &address, Data::None, &[]);
            end = objects::delete_element(batch, &pods, &address);
        }
        end
    }
}

/// What an owner is to have.
struct Claim {
    owner: Digest,
    comment: Vec<u8>,
    attachment: Vec<u8>,
    pods: Vec<IpNetwork>,
}

impl Claim {
    fn new(owner: &Owner<'_>, addresses: &[IpNetwork]) -> Option<Self> {
        let mut pods: Vec<IpNetwork> = Vec::with_capacity(addresses.len());
        for pod in addresses {
            if !pods.iter().any(|known| known.ip() == pod.ip()) {
                pods.push(*pod);
            }
        }
        let text = owner.comment();
        let attachment = records::attachment(&text, &pods)?;
        Some(Self { owner: owner.digest(), comment: records::comment(&text), attachment, pods })
    }

    /// The transaction in which `stale`, if anything was in the way, gives way to the claim.
    fn batch(&self, stale: Option<&[Held]>) -> Batch {
        let mut batch = Batch::new(TABLE);
        if let Some(stale) = stale {
            for held in stale {
                held.remove(&mut batch);
            }
            objects::add_element(&mut batch, 0, ATTACHMENTS, &self.owner.0, Data::None, &[]);
            objects::delete_element(&mut batch, ATTACHMENTS, &self.owner.0);
        }
        for pod in &self.pods {
            let holder = Holder { owner: self.owner, prefix: pod.prefix() }.to_bytes();
            let key = owners_key(pod.ip());
            objects::add_element(&mut batch, NLM_F_EXCL, OWNERS, &key, Data::Value(&holder), &[]);
            let pods = Subnet::of(*pod).pods();
            objects::add_element(&mut batch, 0, &pods, &octets(pod.ip()), Data::None, &self.comment);
        }
        let (key, user_data) = (&self.owner.0, &self.attachment);
        objects::add_element(&mut batch, NLM_F_EXCL, ATTACHMENTS, key, Data::None, user_data);
        batch
    }
}
