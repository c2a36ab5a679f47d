//! Comparing the table with what it should hold, and listing it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::objects::Element;
use super::owner::{Digest, Owner, shorten_network};
use super::records::{self, Holder};
use super::skeleton::{ATTACHMENTS, POSTROUTING, TABLE};
use super::subnet::{Subnet, octets};
use super::{Failed, Nftables};
use linux::Result;

/// Why an attachment is not masqueraded as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MasqueradeFault {
    /// The address is nobody's, or not in its subnet's set.
    AddressMissing(IpAddr),
    /// The address belongs to another attachment, or to this one in another subnet.
    AddressTaken(IpAddr),
    /// A rule, or the map element that leads to it, was removed from the chain named here.
    RuleMissing {
        /// The chain, of table `inet weir`.
        chain: String,
    },
}

impl fmt::Display for MasqueradeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressMissing(address) => write!(f, "{address} is not masqueraded (nf_tables, inet weir)"),
            Self::AddressTaken(address) => {
                write!(f, "{address} is masqueraded for another attachment (nf_tables, inet weir)")
            }
            Self::RuleMissing { chain } => {
                write!(
                    f,
                    "the masquerading rule of chain {chain} is gone (nf_tables, inet weir), for other pods too; after nft delete table inet weir, pods that are attached anew are masqueraded again"
                )
            }
        }
    }
}

/// An attachment that the kernel remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Name of the network; a name of more than 46 bytes ends with `~` and a digest.
    pub network: String,
    /// The container; an ID of more than 64 bytes ends with `~` and a digest.
    pub container_id: String,
    /// The interface inside the container.
    pub interface: String,
    /// The masqueraded addresses, if any, with their subnets' prefix lengths.
    pub addresses: Vec<IpNetwork>,
    pub(crate) digest: Digest,
}

impl Attachment {
    /// Whether this is `owner`'s, decided by the digest of the owner's full names.
    pub fn is_of(&self, owner: &Owner<'_>) -> bool {
        self.digest == owner.digest()
    }

    /// Whether it belongs to the network of this name, however long the name is.
    pub fn is_in(&self, network: &str) -> bool {
        self.network == shorten_network(network)
    }

    fn read(element: Element<'_>) -> Option<Self> {
        Some(Self::of(Digest(element.key().try_into().ok()?), element.user_data()))
    }

    pub(crate) fn of(digest: Digest, user_data: &[u8]) -> Self {
        let (text, addresses) = records::read_attachment(user_data);
        let mut parts = text.splitn(3, '/').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        Self { network: part(), container_id: part(), interface: part(), addresses, digest }
    }
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.network, self.container_id, self.interface)
    }
}

impl Nftables {
    /// Looks whether `owner` masquerades each of `addresses` and whether the rules on the way are in place.
    /// `None` means that all is well.
    ///
    /// Reads what `nft list table inet weir` shows of these addresses and no other.
    ///
    /// # Errors
    /// [`Error::Refused`](linux::Error::Refused) and [`Error::Netlink`](linux::Error::Netlink).
    pub fn check_masquerade(
        &mut self,
        owner: &Owner<'_>,
        addresses: &[IpNetwork],
    ) -> Result<Option<MasqueradeFault>> {
        for pod in addresses {
            let fault = self
                .check_address(owner.digest(), *pod)
                .map_err(|failed| failed.during(format_args!("check the masquerading of {owner}")))?;
            if fault.is_some() {
                return Ok(fault);
            }
        }
        Ok(None)
    }

    fn check_address(
        &mut self,
        owner: Digest,
        pod: IpNetwork,
    ) -> std::result::Result<Option<MasqueradeFault>, Failed> {
        let subnet = Subnet::of(pod);
        match self.holder(pod.ip())? {
            None => return Ok(Some(MasqueradeFault::AddressMissing(pod.ip()))),
            Some(holder) if holder != (Holder { owner, prefix: pod.prefix() }) => {
                return Ok(Some(MasqueradeFault::AddressTaken(pod.ip())));
            }
            Some(_) => {}
        }
        if self.element(TABLE, &subnet.pods(), &octets(pod.ip()), |_| ())?.is_none() {
            return Ok(Some(MasqueradeFault::AddressMissing(pod.ip())));
        }
        let rule_missing = |chain: &str| Ok(Some(MasqueradeFault::RuleMissing { chain: chain.into() }));
        let mut masquerading_chain = POSTROUTING.to_owned();
        if !subnet.is_host() {
            masquerading_chain = subnet.chain();
            let network = octets(subnet.network().ip());
            let leads_there = self.element(TABLE, &subnet.dispatch(), &network, |element| {
                element.chain() == Some(masquerading_chain.as_bytes())
            })?;
            if leads_there != Some(true) || !self.has_rule(POSTROUTING, &subnet.dispatch(), false)? {
                return rule_missing(POSTROUTING);
            }
        }
        if !self.has_rule(&masquerading_chain, &subnet.pods(), true)? {
            return rule_missing(&masquerading_chain);
        }
        Ok(None)
    }

    /// Whether a rule of `chain` looks into `set` and, if asked for, masquerades.
    fn has_rule(&mut self, chain: &str, set: &str, masquerades: bool) -> std::result::Result<bool, Failed> {
        let rules = self.rules(TABLE, Some(chain))?;
        Ok(rules
            .iter()
            .any(|rule| rule.sets.iter().any(|name| name == set) && (rule.masquerades || !masquerades)))
    }

    /// All attachments that masquerade, in no particular order: what a garbage collection compares with
    /// the attachments that still exist.
    ///
    /// While others add and remove, one of them may be missed; it is there the next time.
    ///
    /// The effect of `nft list set inet weir attachments`.
    ///
    /// # Errors
    /// [`Error::Refused`](linux::Error::Refused) and [`Error::Netlink`](linux::Error::Netlink).
    pub fn attachments(&mut self) -> Result<Vec<Attachment>> {
        let found = self
            .elements(TABLE, ATTACHMENTS, Attachment::read)
            .map_err(|failed| failed.during(format_args!("list the masqueraded attachments")))?;
        // The kernel may show an element twice when its hash table grows in the middle.
        let once: BTreeMap<_, _> = found.into_iter().map(|found| (found.digest, found)).collect();
        Ok(once.into_values().collect())
    }
}
