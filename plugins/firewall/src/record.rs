//! Weir's own table, and in it what ADD made for an attachment: DEL needs neither `prevResult` nor a list of all rules.

use linux::{Family, Result};
use nft::{
    Batch, Chain, ChainHook, ChainType, Claimant, DataType, Digest, Element, Field, HookPoint, Nftables, Set,
    Table, TableFamily, TableState, UserData, Verdict,
};
use nix::errno::Errno;
use nix::libc::NF_IP_PRI_FILTER;

use crate::iptables::FAMILIES;
use crate::rules::Handle;

pub(crate) const TABLE: Table = Table { family: TableFamily::Inet, name: "weir-firewall" };
pub(crate) const ATTACHMENTS: &str = "attachments";
pub(crate) const ADMIN_CHAINS: &str = "admin-chains";
pub(crate) const BRIDGES: &str = "bridges";
pub(crate) const SAME_BRIDGE: &str = "same-bridge";
pub(crate) const FORWARD: &str = "forward";

/// Kinds of user data: the handles of the rules of a family, eight bytes each.
const HANDLES: [u8; 2] = [0x8a, 0x8b];
/// Kinds of user data: the name of the host's end, and of one that is isolated.
const HOST_END: [u8; 2] = [0x8c, 0x8d];

/// Kind of user data: the handle of the jump to an administrator's chain, eight bytes.
const ADMIN_JUMP: u8 = 0x8e;

/// What an attachment has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// None until ADD has come to its end, unless the pod has no address.
    pub rules: Vec<Handle>,
    pub host_end: Option<String>,
    /// Whether the host's end is isolated from others.
    pub is_isolated: bool,
}

impl Record {
    /// Returns the element of the set `attachments`; none if there are more rules than the kernel keeps numbers for
    /// (those of five addresses always fit).
    pub(crate) fn element(&self, claimant: &Claimant) -> Option<Element> {
        let mut data = UserData::of_comment(&claimant.comment);
        if let Some(host_end) = &self.host_end {
            data = data.with(HOST_END[usize::from(self.is_isolated)], host_end.as_bytes());
        }
        for (family, kind) in FAMILIES.into_iter().zip(HANDLES) {
            let of_family = self.rules.iter().filter(|handle| handle.family == family);
            let numbers: Vec<u8> = of_family.flat_map(|handle| handle.number.to_be_bytes()).collect();
            if !numbers.is_empty()
                && numbers.len() <= UserData::CAPACITY - data.bytes().len().min(UserData::CAPACITY)
            {
                data = data.with(kind, &numbers);
            } else if !numbers.is_empty() {
                return None;
            }
        }
        let element = Element::new(ATTACHMENTS, claimant.digest.0).with_user_data(&data);
        (data.bytes().len() <= UserData::CAPACITY).then_some(element)
    }

    /// Returns the host's end if it is isolated from others.
    pub(crate) fn isolated_port(&self) -> Option<&str> {
        self.host_end.as_deref().filter(|_| self.is_isolated)
    }

    fn read(user_data: &[u8]) -> Self {
        let mut rules = Vec::new();
        for (family, kind) in FAMILIES.into_iter().zip(HANDLES) {
            let numbers = UserData::find(user_data, kind).unwrap_or_default().chunks_exact(8);
            rules.extend(numbers.filter_map(|number| {
                Some(Handle { family, number: u64::from_be_bytes(number.try_into().ok()?) })
            }));
        }
        let [open, isolated] = HOST_END.map(|kind| UserData::find(user_data, kind));
        let host_end = isolated.or(open).map(|name| String::from_utf8_lossy(name).into_owned());
        Self { rules, host_end, is_isolated: isolated.is_some() }
    }
}

/// Returns an attachment's record.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn find(nftables: &mut Nftables, claimant: &Claimant) -> nft::Result<Option<Record>> {
    nftables.element(TABLE, ATTACHMENTS, &claimant.digest.0, |element| Record::read(element.user_data()))
}

/// Returns all records, for GC.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn list(nftables: &mut Nftables) -> nft::Result<Vec<(Claimant, Record)>> {
    nftables.elements(TABLE, ATTACHMENTS, |element| {
        let digest = Digest(element.key().try_into().ok()?);
        let comment = UserData::comment(element.user_data())?;
        Some((Claimant { comment, digest }, Record::read(element.user_data())))
    })
}

/// Returns the element with the handle of the jump to an administrator's chain.
pub(crate) fn of_admin_jump(family: Family, chain: &str, handle: u64) -> Element {
    let family = keyword(family);
    let data = UserData::of_comment(&format!("{family} {chain}")).with(ADMIN_JUMP, &handle.to_be_bytes());
    Element::new(ADMIN_CHAINS, Digest::of(&[family, chain]).0).with_user_data(&data)
}

/// Returns the handle that [`of_admin_jump`] wrote.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn admin_jump(nftables: &mut Nftables, family: Family, chain: &str) -> nft::Result<Option<u64>> {
    let key = Digest::of(&[keyword(family), chain]).0;
    let handle = nftables.element(TABLE, ADMIN_CHAINS, &key, |element| {
        let handle = UserData::find(element.user_data(), ADMIN_JUMP).and_then(|it| it.try_into().ok());
        // No rule has 0.
        handle.map_or(0, u64::from_be_bytes)
    })?;
    Ok(handle)
}

fn keyword(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

/// Creates the table with the rules that keep bridges apart. They cannot double, because the sets are created once.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn create_table(nftables: &mut Nftables) -> Result<()> {
    const DIGEST: &[DataType] = &[DataType::MARK; 4];
    let mut batch = Batch::new(TABLE);
    batch.add_table(TableState::Active, "forwarding of pods, kept by weir");
    batch.create_set(&Set::new(ATTACHMENTS, DIGEST, "in the comments: network/container ID/interface"));
    batch.create_set(&Set::new(ADMIN_CHAINS, DIGEST, "chains that an administrator's rules are in"));
    batch.create_set(&Set::new(BRIDGES, &[DataType::INTERFACE_NAME], "bridges with an ingress policy"));
    let pair = &[DataType::INTERFACE_NAME, DataType::INTERFACE_NAME];
    batch.create_set(&Set::new(SAME_BRIDGE, pair, "bridges with pods that reach each other"));
    let hook = ChainHook::new(ChainType::Filter, HookPoint::Forward, NF_IP_PRI_FILTER - 1);
    batch.add_chain(&Chain { name: FORWARD, hook: Some(hook), comment: "two rules for all pods" });
    batch.add_rule(FORWARD, &UserData::of_comment("inside a bridge"), |rule| {
        rule.load(&[Field::InputLinkName, Field::OutputLinkName]);
        rule.is_in(SAME_BRIDGE);
        rule.decide(Verdict::Accept);
    });
    batch.add_rule(FORWARD, &UserData::of_comment("between bridges"), |rule| {
        rule.load(&[Field::InputLinkName]);
        rule.is_in(BRIDGES);
        rule.load(&[Field::OutputLinkName]);
        rule.is_in(BRIDGES);
        rule.count();
        rule.decide(Verdict::Drop);
    });
    match nftables.transact(batch) {
        // Another process was faster.
        Err(failed) if failed.is(Errno::EEXIST) => Ok(()),
        outcome => outcome.map_err(|failed| {
            failed.missing(crate::iptables::FEATURE, format_args!("create nf_tables table {TABLE}"))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimant(length: usize) -> Claimant {
        Claimant { comment: "c".repeat(length), digest: Digest::of(&["c"]) }
    }

    fn record(addresses: u64) -> Record {
        let rules =
            (0..addresses * 2).map(|number| Handle { family: Family::V6, number: number << 40 }).collect();
        Record { rules, host_end: Some("veth1c2d3e4f567".to_owned()), is_isolated: true }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut record = record(2);
        record.rules.insert(0, Handle { family: Family::V4, number: 7 });
        let element = record.element(&claimant(20)).unwrap();
        assert_eq!(Record::read(&element.user_data), record);
    }

    #[test]
    fn the_rules_of_five_addresses_always_fit_and_too_many_are_refused() {
        assert!(record(5).element(&claimant(127)).is_some());
        assert!((6..40).all(|addresses| {
            record(addresses)
                .element(&claimant(127))
                .is_none_or(|it| it.user_data.len() <= UserData::CAPACITY)
        }));
        assert_eq!(record(20).element(&claimant(127)), None);
    }
}
