//! The messages about the objects of a table: what is declared, filled and read.

use netlink_packet_core::NLM_F_CREATE;

use super::attributes::{Attributes, find, find_nested};
use super::batch::Batch;
use super::expressions::{ANONYMOUS_SET, Expressions};
use super::records;

const NFT_MSG_NEWTABLE: u16 = 0;
pub(crate) const NFT_MSG_GETTABLE: u16 = 1;
const NFT_MSG_NEWCHAIN: u16 = 3;
pub(crate) const NFT_MSG_GETCHAIN: u16 = 4;
const NFT_MSG_DELCHAIN: u16 = 5;
const NFT_MSG_NEWRULE: u16 = 6;
pub(crate) const NFT_MSG_GETRULE: u16 = 7;
const NFT_MSG_DELRULE: u16 = 8;
const NFT_MSG_NEWSET: u16 = 9;
pub(crate) const NFT_MSG_GETSET: u16 = 10;
const NFT_MSG_NEWSETELEM: u16 = 12;
pub(crate) const NFT_MSG_GETSETELEM: u16 = 13;
const NFT_MSG_DELSETELEM: u16 = 14;

pub(crate) const NFTA_TABLE_FLAGS: u16 = 2;
pub(crate) const NFT_TABLE_F_DORMANT: u32 = 1;
const NFTA_LIST_ELEM: u16 = 1;
pub(crate) const NFTA_DATA_VALUE: u16 = 1;
pub(crate) const NFTA_DATA_VERDICT: u16 = 2;
pub(crate) const NFTA_VERDICT_CODE: u16 = 1;
pub(crate) const NFTA_VERDICT_CHAIN: u16 = 2;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_DATA: u16 = 2;
const NFTA_SET_ELEM_USERDATA: u16 = 6;
const NFTA_SET_ELEM_FLAGS: u16 = 3;
const NFT_SET_ELEM_INTERVAL_END: u32 = 1;
const NFTA_SET_FLAGS: u16 = 3;
const NFTA_SET_KEY_TYPE: u16 = 4;
const NFTA_SET_KEY_LEN: u16 = 5;
const NFTA_SET_ID: u16 = 10;
pub(crate) const NFTA_CHAIN_TABLE: u16 = 1;
pub(crate) const NFTA_CHAIN_HANDLE: u16 = 2;
pub(crate) const NFTA_CHAIN_NAME: u16 = 3;
pub(crate) const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_SET_NAME: u16 = 2;
pub(crate) const NFTA_RULE_CHAIN: u16 = 2;
pub(crate) const NFTA_RULE_HANDLE: u16 = 3;
pub(crate) const NFTA_RULE_EXPRESSIONS: u16 = 4;
pub(crate) const NFTA_RULE_USERDATA: u16 = 7;

/// Numbers by which `nft` knows what to print a key or data as (`TYPE_*` of its datatype.h; the kernel only
/// keeps them). Several fields are six bits each.
#[derive(Clone, Copy)]
pub(crate) struct DataType {
    number: u32,
    /// In bytes.
    length: u32,
    /// Whether `nft` must be told that the bytes are as the host has them, or it prints them the wrong way round.
    in_host_order: bool,
}

impl DataType {
    pub const IPV4_ADDRESS: Self = Self::new(7, 4);
    pub const IPV6_ADDRESS: Self = Self::new(8, 16);
    pub const HARDWARE_ADDRESS: Self = Self::new(9, 6);
    pub const INTERFACE_NAME: Self = Self { in_host_order: true, ..Self::new(41, 16) };
    const MARK: u32 = 19;

    const fn new(number: u32, length: u32) -> Self {
        Self { number, length, in_host_order: false }
    }

    /// `mark . mark . …`: opaque bytes, four in each field, at most five fields.
    pub fn opaque(fields: u32) -> Self {
        let number = (0..fields).fold(0, |number, _| number << 6 | Self::MARK);
        Self::new(number, fields * 4)
    }

    /// `type FIRST . SECOND`: in a key each field fills whole registers of four bytes.
    pub fn followed_by(self, second: Self) -> Self {
        let fill = |length: u32| length.next_multiple_of(4);
        Self::new(self.number << 6 | second.number, fill(self.length) + fill(second.length))
    }
}

/// What the elements of a set lead to.
#[derive(Clone, Copy)]
pub(crate) enum Values {
    /// Nothing: it is a plain set.
    None,
    /// A verdict, for `vmap`.
    Verdict,
    /// Data.
    Data(DataType),
}

/// Where a base chain is hooked in.
#[derive(Clone, Copy)]
pub(crate) enum ChainKind<'a> {
    /// Reached by jumps only.
    Regular,
    /// `type nat hook postrouting priority srcnat`.
    SourceNat,
    /// `type filter hook prerouting priority -300`, of family bridge: before everything else that a bridge does
    /// with a frame.
    BridgePrerouting,
    /// `type filter hook ingress device NAME priority 2147483647`, of family netdev: what arrives at the link, after
    /// everything else that looks at it there.
    DeviceIngress(&'a str),
}

/// Data of one element.
#[derive(Clone, Copy)]
pub(crate) enum Data<'a> {
    None,
    Value(&'a [u8]),
    Jump(&'a str),
}

/// `add table inet weir { comment "…"; }`
pub(crate) fn table(batch: &mut Batch, dormant: bool, comment: &str) {
    const NFTA_TABLE_USERDATA: u16 = 6;
    batch.message(NFT_MSG_NEWTABLE, NLM_F_CREATE, |table| {
        table.number(NFTA_TABLE_FLAGS, if dormant { NFT_TABLE_F_DORMANT } else { 0 });
        table.bytes(NFTA_TABLE_USERDATA, &records::comment(comment));
    });
}

/// `add table netdev weir { comment "…"; }`, which leaves one that is there as it is, dormant or not.
pub(crate) fn table_unless_there(batch: &mut Batch, comment: &str) {
    const NFTA_TABLE_USERDATA: u16 = 6;
    batch.message(NFT_MSG_NEWTABLE, NLM_F_CREATE, |table| {
        table.bytes(NFTA_TABLE_USERDATA, &records::comment(comment));
    });
}

/// `add chain inet weir NAME { type nat hook postrouting priority srcnat; comment "…"; }`
/// Returns the message's index.
pub(crate) fn chain(batch: &mut Batch, name: &str, kind: ChainKind<'_>, comment: &str) -> usize {
    base_chain(batch, 0, name, kind, comment)
}

/// As [`chain`], with `NLM_F_EXCL` among `flags` as `create chain`.
pub(crate) fn base_chain(
    batch: &mut Batch,
    flags: u16,
    name: &str,
    kind: ChainKind<'_>,
    comment: &str,
) -> usize {
    const NFTA_CHAIN_TYPE: u16 = 7;
    const NFTA_CHAIN_USERDATA: u16 = 12;
    const NFTA_HOOK_HOOKNUM: u16 = 1;
    const NFTA_HOOK_PRIORITY: u16 = 2;
    const NF_INET_POST_ROUTING: u32 = 4;
    const NF_BR_PRE_ROUTING: u32 = 0;
    const NF_IP_PRI_NAT_SRC: i32 = 100;
    const NF_BR_PRI_NAT_DST_BRIDGED: i32 = -300;
    const NFTA_HOOK_DEV: u16 = 3;
    const NF_NETDEV_INGRESS: u32 = 0;
    let hook = match kind {
        ChainKind::Regular => None,
        ChainKind::SourceNat => Some(("nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC)),
        ChainKind::BridgePrerouting => Some(("filter", NF_BR_PRE_ROUTING, NF_BR_PRI_NAT_DST_BRIDGED)),
        ChainKind::DeviceIngress(_) => Some(("filter", NF_NETDEV_INGRESS, i32::MAX)),
    };
    batch.message(NFT_MSG_NEWCHAIN, NLM_F_CREATE | flags, |chain| {
        chain.text(NFTA_CHAIN_NAME, name);
        if let Some((hook_type, number, priority)) = hook {
            chain.text(NFTA_CHAIN_TYPE, hook_type);
            chain.nest(NFTA_CHAIN_HOOK, |hook| {
                hook.number(NFTA_HOOK_HOOKNUM, number);
                hook.number(NFTA_HOOK_PRIORITY, priority.cast_unsigned());
                if let ChainKind::DeviceIngress(device) = kind {
                    hook.text(NFTA_HOOK_DEV, device);
                }
            });
        }
        chain.bytes(NFTA_CHAIN_USERDATA, &records::comment(comment));
    })
}

/// `add set inet weir NAME { type KEYS; comment "…"; }`; with [`Values`] other than `None`, `add map`.
pub(crate) fn set(batch: &mut Batch, flags: u16, name: &str, keys: DataType, values: Values, comment: &str) {
    const NFTA_SET_DATA_TYPE: u16 = 6;
    const NFTA_SET_DATA_LEN: u16 = 7;
    const NFTA_SET_USERDATA: u16 = 13;
    const NFT_SET_MAP: u32 = 8;
    const NFT_DATA_VERDICT: u32 = 0xffff_ff00;
    // Any number that is unique in the transaction; our rules name the set instead.
    let id = u32::try_from(batch.len()).unwrap_or(u32::MAX);
    batch.message(NFT_MSG_NEWSET, NLM_F_CREATE | flags, |set| {
        set.text(NFTA_SET_NAME, name);
        set.number(NFTA_SET_FLAGS, if matches!(values, Values::None) { 0 } else { NFT_SET_MAP });
        set.number(NFTA_SET_KEY_TYPE, keys.number);
        set.number(NFTA_SET_KEY_LEN, keys.length);
        match values {
            Values::None => {}
            Values::Verdict => {
                set.number(NFTA_SET_DATA_TYPE, NFT_DATA_VERDICT);
                set.number(NFTA_SET_DATA_LEN, 0);
            }
            Values::Data(data) => {
                set.number(NFTA_SET_DATA_TYPE, data.number);
                set.number(NFTA_SET_DATA_LEN, data.length);
            }
        }
        set.number(NFTA_SET_ID, id);
        set.bytes(NFTA_SET_USERDATA, &records::set_comment(comment, keys.in_host_order));
    });
}

/// `add rule inet weir CHAIN … comment "…"`. Returns the message's index.
pub(crate) fn rule(
    batch: &mut Batch,
    chain: &str,
    comment: &str,
    expressions: impl FnOnce(&mut Expressions<'_, '_>),
) -> usize {
    owned_rule(batch, chain, &records::comment(comment), expressions)
}

/// As [`rule`], with all of its user data.
pub(crate) fn owned_rule(
    batch: &mut Batch,
    chain: &str,
    user_data: &[u8],
    expressions: impl FnOnce(&mut Expressions<'_, '_>),
) -> usize {
    const NLM_F_APPEND: u16 = 0x800;
    batch.message(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, |rule| {
        rule.text(NFTA_RULE_CHAIN, chain);
        rule.nest(NFTA_RULE_EXPRESSIONS, |list| expressions(&mut Expressions(list)));
        rule.bytes(NFTA_RULE_USERDATA, user_data);
    })
}

/// `delete rule TABLE CHAIN handle HANDLE`
pub(crate) fn delete_rule(batch: &mut Batch, chain: &str, handle: u64) {
    batch.message(NFT_MSG_DELRULE, 0, |rule| {
        rule.text(NFTA_RULE_CHAIN, chain);
        rule.bytes(NFTA_RULE_HANDLE, &handle.to_be_bytes());
    });
}

/// `delete chain TABLE CHAIN`
pub(crate) fn delete_chain(batch: &mut Batch, chain: &str) {
    batch.message(NFT_MSG_DELCHAIN, 0, |message| message.text(NFTA_CHAIN_NAME, chain));
}

/// `delete chain TABLE handle HANDLE`
pub(crate) fn delete_chain_by_handle(batch: &mut Batch, handle: u64) {
    batch.message(NFT_MSG_DELCHAIN, 0, |message| message.bytes(NFTA_CHAIN_HANDLE, &handle.to_be_bytes()));
}

/// `flush chain inet weir CHAIN`
pub(crate) fn flush_chain(batch: &mut Batch, chain: &str) {
    batch.message(NFT_MSG_DELRULE, 0, |rule| {
        rule.text(NFTA_RULE_CHAIN, chain);
    });
}

/// `create element inet weir SET { KEY : DATA }` with `NLM_F_EXCL` among `flags`, else `add element`.
///
/// Without `NLM_F_EXCL` an element that is there already is left as it is when its data is the same, and
/// refused when its data differs: that is how a transaction asks for what it expects.
pub(crate) fn add_element(
    batch: &mut Batch,
    flags: u16,
    set: &str,
    key: &[u8],
    data: Data<'_>,
    user_data: &[u8],
) -> usize {
    batch.message(NFT_MSG_NEWSETELEM, NLM_F_CREATE | flags, |list| {
        element(list, set, key, data, user_data);
    })
}

/// `delete element inet weir SET { KEY }`
pub(crate) fn delete_element(batch: &mut Batch, set: &str, key: &[u8]) -> usize {
    batch.message(NFT_MSG_DELSETELEM, 0, |list| element(list, set, key, Data::None, &[]))
}

/// A set of address ranges of one rule's own, as in `ip daddr { 10.0.0.0/8 }`: each from its first address to
/// before another, or to the end. They must not overlap. Returns the number by which the rule names it.
pub(crate) fn own_ranges(batch: &mut Batch, keys: DataType, ranges: &[(Vec<u8>, Option<Vec<u8>>)]) -> u32 {
    const NFT_SET_ANONYMOUS: u32 = 1;
    const NFT_SET_CONSTANT: u32 = 2;
    const NFT_SET_INTERVAL: u32 = 4;
    const NFTA_SET_ELEM_LIST_SET_ID: u16 = 4;
    /// A list's length is 16 bits.
    const AT_ONCE: usize = 500;
    let id = u32::try_from(batch.len()).unwrap_or(u32::MAX);
    batch.message(NFT_MSG_NEWSET, NLM_F_CREATE, |set| {
        set.text(NFTA_SET_NAME, ANONYMOUS_SET);
        set.number(NFTA_SET_FLAGS, NFT_SET_ANONYMOUS | NFT_SET_CONSTANT | NFT_SET_INTERVAL);
        set.number(NFTA_SET_KEY_TYPE, keys.number);
        set.number(NFTA_SET_KEY_LEN, keys.length);
        set.number(NFTA_SET_ID, id);
    });
    for ranges in ranges.chunks(AT_ONCE) {
        batch.message(NFT_MSG_NEWSETELEM, NLM_F_CREATE, |list| {
            list.text(NFTA_SET_ELEM_LIST_SET, ANONYMOUS_SET);
            list.number(NFTA_SET_ELEM_LIST_SET_ID, id);
            list.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |elements| {
                for (first, end) in ranges {
                    bound(elements, first, false);
                    end.iter().for_each(|end| bound(elements, end, true));
                }
            });
        });
    }
    id
}

/// One end of a range in a set.
fn bound(elements: &mut Attributes<'_>, key: &[u8], is_end: bool) {
    elements.nest(NFTA_LIST_ELEM, |element| {
        element.nest(NFTA_SET_ELEM_KEY, |nest| nest.bytes(NFTA_DATA_VALUE, key));
        if is_end {
            element.number(NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
        }
    });
}

/// Names one element, or with an empty key all elements of the set.
pub(crate) fn element(list: &mut Attributes<'_>, set: &str, key: &[u8], data: Data<'_>, user_data: &[u8]) {
    const NFT_JUMP: u32 = (-3i32).cast_unsigned();
    list.text(NFTA_SET_ELEM_LIST_SET, set);
    if key.is_empty() {
        return;
    }
    list.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |elements| {
        elements.nest(NFTA_LIST_ELEM, |element| {
            element.nest(NFTA_SET_ELEM_KEY, |nest| nest.bytes(NFTA_DATA_VALUE, key));
            match data {
                Data::None => {}
                Data::Value(value) => {
                    element.nest(NFTA_SET_ELEM_DATA, |nest| nest.bytes(NFTA_DATA_VALUE, value));
                }
                Data::Jump(chain) => element.nest(NFTA_SET_ELEM_DATA, |nest| {
                    nest.nest(NFTA_DATA_VERDICT, |verdict| {
                        verdict.number(NFTA_VERDICT_CODE, NFT_JUMP);
                        verdict.text(NFTA_VERDICT_CHAIN, chain);
                    });
                }),
            }
            if !user_data.is_empty() {
                element.bytes(NFTA_SET_ELEM_USERDATA, user_data);
            }
        });
    });
}

/// Names the chain (`NFT_MSG_GETCHAIN`) or set (`NFT_MSG_GETSET`) that is asked for.
pub(crate) fn named(request: &mut Attributes<'_>, kind: u16, name: &str) {
    request.text(if kind == NFT_MSG_GETCHAIN { NFTA_CHAIN_NAME } else { NFTA_SET_NAME }, name);
}

/// Names the chain whose rules are meant; without one, all chains of the table.
pub(crate) fn rules_of(request: &mut Attributes<'_>, chain: Option<&str>) {
    if let Some(chain) = chain {
        request.text(NFTA_RULE_CHAIN, chain);
    }
}

/// An element as the kernel answers it.
#[derive(Clone, Copy)]
pub(crate) struct Element<'a>(&'a [u8]);

impl<'a> Element<'a> {
    /// The elements of one reply, whose attributes are given.
    pub fn each(reply: &'a [u8]) -> impl Iterator<Item = Self> {
        super::attributes::each(find(reply, NFTA_SET_ELEM_LIST_ELEMENTS).unwrap_or_default())
            .map(|(_, element)| Self(element))
    }

    pub fn key(self) -> &'a [u8] {
        find_nested(self.0, &[NFTA_SET_ELEM_KEY, NFTA_DATA_VALUE]).unwrap_or_default()
    }

    pub fn data(self) -> &'a [u8] {
        find_nested(self.0, &[NFTA_SET_ELEM_DATA, NFTA_DATA_VALUE]).unwrap_or_default()
    }

    /// The chain that a verdict jumps to.
    pub fn chain(self) -> Option<&'a [u8]> {
        let path = [NFTA_SET_ELEM_DATA, NFTA_DATA_VERDICT, NFTA_VERDICT_CHAIN];
        find_nested(self.0, &path).map(super::attributes::text)
    }

    /// Whether it is the end of a range, and not in it.
    pub fn is_end(self) -> bool {
        let flags = find(self.0, NFTA_SET_ELEM_FLAGS).and_then(|flags| flags.try_into().ok());
        flags.map_or(0, u32::from_be_bytes) & NFT_SET_ELEM_INTERVAL_END != 0
    }

    pub fn user_data(self) -> &'a [u8] {
        find(self.0, NFTA_SET_ELEM_USERDATA).unwrap_or_default()
    }
}
