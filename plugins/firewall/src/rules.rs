//! A pod's rules in chain `CNI-FORWARD`. Their claimant is in the rules' user data, of which `iptables` shows nothing,
//! so that the rules are the reference's to each byte that `iptables -D` and `iptables -C` compare.

use std::net::IpAddr;

use linux::Family;
use nft::{Batch, Claimant, Comparison, Field, Nftables, Rule, Side, UserData, Verdict, octets};

use crate::iptables::{CNI_FORWARD, table};

/// Kind of user data: the claimant as text, as a comment has it.
const CLAIMANT_TEXT: u8 = 0x89;
/// The extension of iptables by which answers are told.
const CONNTRACK: &str = "conntrack";

/// One of an address's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accept {
    pub address: IpAddr,
    /// What is from the address is accepted; to it, answers are.
    pub side: Side,
}

/// A rule that was found, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handle {
    pub family: Family,
    pub number: u64,
}

impl Accept {
    /// Returns the rules of an address.
    pub(crate) fn of(address: IpAddr) -> [Self; 2] {
        [Side::Destination, Side::Source].map(|side| Self { address, side })
    }

    pub(crate) fn family(self) -> Family {
        Family::of_address(self.address)
    }

    /// Adds the rule, whose handle the kernel returns.
    pub(crate) fn add(self, batch: &mut Batch, claimant: &Claimant) {
        let user_data = UserData::empty()
            .with(UserData::CLAIMANT, &claimant.digest.0)
            .with(CLAIMANT_TEXT, claimant.comment.as_bytes());
        batch.turn_to(table(self.family()));
        batch.add_echoed_rule(CNI_FORWARD, &user_data, |rule| {
            rule.load(&[Field::Address(self.family(), self.side)]);
            rule.compare(Comparison::Equal, &octets(self.address));
            if self.side == Side::Destination {
                rule.extension(CONNTRACK, 3, &answers());
            }
            rule.count();
            rule.decide(Verdict::Accept);
        });
    }

    /// Returns whether this is such a rule, weir's or the reference's. One with a comment is an administrator's.
    pub(crate) fn is(self, rule: &Rule) -> bool {
        let offset = match (self.family(), self.side) {
            (Family::V4, Side::Source) => 12,
            (Family::V4, Side::Destination) => 16,
            (Family::V6, Side::Source) => 8,
            (Family::V6, Side::Destination) => 24,
        };
        let (expressions, extensions): (&[&str], _) = match self.side {
            Side::Source => (&["payload", "cmp", "counter", "immediate"], vec![]),
            Side::Destination => (
                &["payload", "cmp", "match", "counter", "immediate"],
                vec![(CONNTRACK.to_owned(), answers().to_vec())],
            ),
        };
        rule.accepts
            && rule.comment.is_none()
            && rule.expressions == expressions
            && rule.extensions == extensions
            && rule.network_field == Some((offset, octets(self.address)))
    }
}

/// `-m conntrack --ctstate RELATED,ESTABLISHED`: `struct xt_conntrack_mtinfo3` (uapi/linux/netfilter/xt_conntrack.h),
/// filled up.
fn answers() -> [u8; 168] {
    const MATCH_FLAGS_AT: usize = 146;
    const STATE_MASK_AT: usize = 150;
    const XT_CONNTRACK_STATE: u16 = 1;
    /// `XT_CONNTRACK_STATE_BIT` of `IP_CT_ESTABLISHED` and of `IP_CT_RELATED`.
    const ESTABLISHED_AND_RELATED: u16 = 1 << 1 | 1 << 2;
    let mut info = [0; 168];
    info[MATCH_FLAGS_AT..MATCH_FLAGS_AT + 2].copy_from_slice(&XT_CONNTRACK_STATE.to_ne_bytes());
    info[STATE_MASK_AT..STATE_MASK_AT + 2].copy_from_slice(&ESTABLISHED_AND_RELATED.to_ne_bytes());
    info
}

/// Returns the claimant of a rule; none of the reference's or an administrator's.
pub(crate) fn claimant(rule: &Rule) -> Option<Claimant> {
    let claimant = UserData::claimant(&rule.user_data)?;
    let text = UserData::find(&rule.user_data, CLAIMANT_TEXT).unwrap_or_default();
    Some(Claimant { comment: String::from_utf8_lossy(text).into_owned(), ..claimant })
}

fn is_of(rule: &Rule, claimant: &Claimant) -> bool {
    UserData::claimant(&rule.user_data).is_some_and(|found| found.digest == claimant.digest)
}

/// Returns those of the recorded rules that are there and the claimant's still, and what each is.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn recorded(
    nftables: &mut Nftables,
    handles: &[Handle],
    claimant: &Claimant,
) -> nft::Result<Vec<(Handle, Rule)>> {
    let mut found = Vec::with_capacity(handles.len());
    for handle in handles {
        let rule = nftables.rule(table(handle.family), CNI_FORWARD, handle.number)?;
        found.extend(rule.filter(|rule| is_of(rule, claimant)).map(|rule| (*handle, rule)));
    }
    Ok(found)
}

/// Looks through the chain of a family: returns the claimant's rules, and those of no claimant that accept for one of
/// its addresses, as the reference writes them and `iptables-restore` leaves weir's.
///
/// Costs as much as there are pods.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn search(
    nftables: &mut Nftables,
    family: Family,
    claimant: &Claimant,
    addresses: &[IpAddr],
) -> nft::Result<Vec<(Handle, Rule)>> {
    let rules = nftables.rules(table(family), Some(CNI_FORWARD))?;
    let accepts: Vec<_> = addresses.iter().copied().flat_map(Accept::of).collect();
    let is_theirs = |rule: &Rule| {
        is_of(rule, claimant)
            || (UserData::claimant(&rule.user_data).is_none() && accepts.iter().any(|accept| accept.is(rule)))
    };
    let found = rules.into_iter().filter(is_theirs);
    Ok(found.map(|rule| (Handle { family, number: rule.handle }, rule)).collect())
}

/// Deletes rules.
pub(crate) fn delete(batch: &mut Batch, handles: impl IntoIterator<Item = Handle>) {
    for handle in handles {
        batch.turn_to(table(handle.family));
        batch.delete_rule(CNI_FORWARD, handle.number);
    }
}
