//! The chains that forward what arrives at a link, read back.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_core::NLM_F_DUMP;
use nix::errno::Errno;

use super::attributes::{each, find, find_nested, text};
use super::expressions::{
    NFT_META_IIF, NFTA_CMP_DATA, NFTA_EXPR_DATA, NFTA_EXPR_NAME, NFTA_IMMEDIATE_DATA, NFTA_LOOKUP_SET,
    NFTA_META_KEY,
};
use super::forward::{TABLE, Traffic, outermost};
use super::objects::{
    self, NFT_MSG_GETRULE, NFT_MSG_GETTABLE, NFT_TABLE_F_DORMANT, NFTA_DATA_VALUE, NFTA_RULE_CHAIN,
    NFTA_RULE_EXPRESSIONS, NFTA_RULE_HANDLE, NFTA_RULE_USERDATA, NFTA_TABLE_FLAGS,
};
use super::owner::{Digest, Owner};
use super::{Attachment, Failed, Nftables, records};
use linux::Attempts;
use linux::Result;

/// A chain that forwards what arrives at a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Name of the link, and of the chain.
    pub link_name: String,
    /// Index of the link; a later one of the same name has another.
    pub link: u32,
    /// Index of the link that the packets go out of.
    pub to: u32,
    /// The attachment that the rules name.
    pub attachment: Option<Attachment>,
    rules: Vec<Rule>,
}

impl Forward {
    /// Whether its rules name this owner.
    pub fn is_of(&self, owner: &Owner<'_>) -> bool {
        self.attachment.as_ref().is_some_and(|attachment| attachment.is_of(owner))
    }

    /// The numbers of its rules.
    pub(crate) fn handles(&self) -> impl Iterator<Item = u64> {
        self.rules.iter().map(|rule| rule.handle)
    }

    /// `None` for a chain that forwards nothing.
    fn of(link_name: String, rules: Vec<Rule>) -> Option<Self> {
        let (link, to) = rules.iter().find_map(|rule| rule.iif.zip(rule.to))?;
        let attachment = rules.iter().find_map(|rule| rule.attachment.clone());
        Some(Self { link_name, link, to, attachment, rules })
    }
}

/// What is known of a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Rule {
    handle: u64,
    /// The link that the packet must have come in by.
    iif: Option<u32>,
    /// The set that its receiver's address must be in.
    set: Option<String>,
    /// Where it is forwarded to; otherwise it passes.
    to: Option<u32>,
    attachment: Option<Attachment>,
}

impl Rule {
    fn read(rule: &[u8]) -> Self {
        let handle = find(rule, NFTA_RULE_HANDLE).and_then(|handle| handle.try_into().ok());
        let mut read = Self {
            handle: handle.map_or(0, u64::from_be_bytes),
            attachment: find(rule, NFTA_RULE_USERDATA).and_then(owner),
            ..Self::default()
        };
        let (mut loads_iif, mut value) = (false, None);
        for (_, expression) in each(find(rule, NFTA_RULE_EXPRESSIONS).unwrap_or_default()) {
            let data = find(expression, NFTA_EXPR_DATA).unwrap_or_default();
            let number = |path| {
                find_nested(data, path).and_then(|value| Some(u32::from_ne_bytes(value.try_into().ok()?)))
            };
            match find(expression, NFTA_EXPR_NAME).map(text) {
                Some(b"meta") => loads_iif = find(data, NFTA_META_KEY) == Some(&NFT_META_IIF.to_be_bytes()),
                Some(b"cmp") if loads_iif => read.iif = number(&[NFTA_CMP_DATA, NFTA_DATA_VALUE]),
                Some(b"lookup") => read.set = find(data, NFTA_LOOKUP_SET).map(name),
                Some(b"immediate") => value = number(&[NFTA_IMMEDIATE_DATA, NFTA_DATA_VALUE]).or(value),
                Some(b"fwd") => read.to = value,
                _ => {}
            }
        }
        read
    }
}

fn owner(user_data: &[u8]) -> Option<Attachment> {
    records::read_owner(user_data).map(|digest: Digest| Attachment::of(digest, user_data))
}

fn name(value: &[u8]) -> String {
    String::from_utf8_lossy(text(value)).into_owned()
}

impl Nftables {
    /// How what arrives at the link of this name is forwarded; `None` when it is not.
    ///
    /// The effect of `nft list chain netdev weir LINK`.
    ///
    /// # Errors
    /// [`Error::Refused`](linux::Error::Refused) and [`Error::Netlink`](linux::Error::Netlink).
    pub fn forward(&mut self, link_name: &str) -> Result<Option<Forward>> {
        let chains = self.forward_chains(Some(link_name)).map_err(|failed| {
            failed.during(format_args!("look up how nf_tables forwards what arrives at {link_name}"))
        })?;
        Ok(chains.into_iter().find(|chain| chain.link_name == link_name))
    }

    /// All chains that forward what arrives at a link: what a garbage collection compares with what still exists.
    ///
    /// The effect of `nft list table netdev weir`.
    ///
    /// # Errors
    /// [`Error::Refused`](linux::Error::Refused) and [`Error::Netlink`](linux::Error::Netlink).
    pub fn forwards(&mut self) -> Result<Vec<Forward>> {
        self.forward_chains(None)
            .map_err(|failed| failed.during(format_args!("list what nf_tables forwards between links")))
    }

    fn forward_chains(&mut self, chain: Option<&str>) -> std::result::Result<Vec<Forward>, Failed> {
        let mut chains: Vec<(String, Vec<Rule>)> = Vec::new();
        for () in Attempts::default() {
            chains.clear();
            let outcome = self.read(
                TABLE,
                NFT_MSG_GETRULE,
                NLM_F_DUMP,
                |request| objects::rules_of(request, chain),
                |rule| {
                    let Some(chain) = find(rule, NFTA_RULE_CHAIN).map(name) else { return };
                    let rule = Rule::read(rule);
                    match chains.last_mut().filter(|(last, _)| *last == chain) {
                        Some((_, rules)) => rules.push(rule),
                        None => chains.push((chain, vec![rule])),
                    }
                },
            );
            match outcome {
                Err(failed) if failed.is(Errno::EINTR) => {}
                Err(failed) if failed.is(Errno::ENOENT) || failed.is_missing_subsystem() => {
                    return Ok(Vec::new());
                }
                outcome => {
                    outcome?;
                    break;
                }
            }
        }
        Ok(chains.into_iter().filter_map(|(name, rules)| Forward::of(name, rules)).collect())
    }

    /// Which packets a chain forwards; `None` when rules of it are missing, or are not as
    /// [`Nftables::add_forward`] makes them.
    ///
    /// # Errors
    /// [`Error::Refused`](linux::Error::Refused) and [`Error::Netlink`](linux::Error::Netlink).
    pub fn forwarded_traffic(&mut self, forward: &Forward) -> Result<Option<Traffic>> {
        let (mut exempt, mut only) = (Vec::new(), Vec::new());
        for rule in &forward.rules {
            let Some(set) = &rule.set else { continue };
            let subnets = self.subnets(set).map_err(|failed| {
                failed.during(format_args!("look up what of {} nf_tables forwards", forward.link_name))
            })?;
            if rule.to.is_some() { &mut only } else { &mut exempt }.extend(subnets);
        }
        let forwards_rest = forward.rules.last().is_some_and(|rule| rule.to.is_some() && rule.set.is_none());
        let is_ours = |rule: &Rule| {
            rule.to.is_none() || (rule.to == Some(forward.to) && rule.iif == Some(forward.link))
        };
        let traffic = match (only.is_empty(), exempt.is_empty()) {
            (true, true) => Traffic::All,
            (true, false) => Traffic::AllBut(exempt),
            (false, _) => Traffic::Only(only),
        };
        let is_whole =
            forwards_rest && forward.rules.len() == traffic.rules() && forward.rules.iter().all(is_ours);
        Ok(is_whole.then(|| traffic.normalised()))
    }

    /// Whether the table is switched off, so that none of its chains is asked (`flags dormant`).
    ///
    /// # Errors
    /// [`Error::Refused`](linux::Error::Refused) and [`Error::Netlink`](linux::Error::Netlink).
    pub fn forwarding_is_dormant(&mut self) -> Result<bool> {
        let mut dormant = false;
        let outcome = self.read(
            TABLE,
            NFT_MSG_GETTABLE,
            0,
            |_| {},
            |table| {
                let flags = find(table, NFTA_TABLE_FLAGS).and_then(|flags| flags.try_into().ok());
                dormant = flags.map_or(0, u32::from_be_bytes) & NFT_TABLE_F_DORMANT != 0;
            },
        );
        match outcome {
            Err(failed) if failed.is(Errno::ENOENT) || failed.is_missing_subsystem() => Ok(false),
            outcome => outcome
                .map(|()| dormant)
                .map_err(|failed| failed.during(format_args!("look up nf_tables table {TABLE}"))),
        }
    }

    /// The subnets that a rule's own set consists of.
    fn subnets(&mut self, set: &str) -> std::result::Result<Vec<IpNetwork>, Failed> {
        let mut bounds = self.elements(TABLE, set, |bound| Some((address(bound.key())?, bound.is_end())))?;
        // Where one range ends and the next begins, the end comes first.
        bounds.sort_unstable_by_key(|(address, is_end)| (*address, !is_end));
        let mut subnets = Vec::new();
        for (at, (first, is_end)) in bounds.iter().enumerate() {
            if *is_end {
                continue;
            }
            let end = bounds.get(at + 1..).and_then(|rest| rest.iter().find(|(_, is_end)| *is_end));
            subnets.extend(subnet(*first, end.map(|(end, _)| *end)));
        }
        Ok(outermost(subnets.into_iter()))
    }
}

fn address(key: &[u8]) -> Option<IpAddr> {
    match key.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(key).ok()?)),
        _ => Some(IpAddr::from(<[u8; 16]>::try_from(key).ok()?)),
    }
}

/// The subnet that begins with one address and ends before another.
fn subnet(first: IpAddr, end: Option<IpAddr>) -> Option<IpNetwork> {
    let bits = |address| match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    };
    let width = if first.is_ipv4() { 32 } else { 128 };
    let last = match end {
        Some(end) => bits(end).checked_sub(1)?,
        None if first.is_ipv4() => u32::MAX.into(),
        None => u128::MAX,
    };
    let hosts = (bits(first) ^ last).checked_add(1).map_or(128, u128::trailing_zeros);
    IpNetwork::new(first, u8::try_from(width - hosts.min(width)).ok()?).ok()
}
