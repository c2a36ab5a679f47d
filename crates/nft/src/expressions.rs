//! The expressions of a rule: what it loads, compares, looks up and does.
//!
//! A rule has 16 words of four bytes. Loads, comparisons and lookups begin at the first word. Each of several fields fills
//! whole words.

use linux::Family;
use nix::libc;

use crate::attributes::Attributes;
use crate::constants::*;
use crate::field::Field;
use crate::set::{ANONYMOUS_SET, OwnSet};

const VERDICT: u32 = libc::NFT_REG_VERDICT.cast_unsigned();
const FIRST: u32 = libc::NFT_REG_1.cast_unsigned();

/// The comparison that a packet must pass for the rule to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal = 0,
    /// `!=`
    Different = 1,
    /// `<=`, of numbers in network order.
    AtMost = 3,
    /// `>=`, of numbers in network order.
    AtLeast = 5,
}

/// The verdict on a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// `accept`
    Accept,
    /// `drop`
    Drop,
    /// `return`: goes on behind the jump that led to this chain.
    Return,
    /// `jump CHAIN`: goes through the chain, then on behind this rule.
    Jump(&'a str),
}

/// The address of a connection that is rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nat {
    /// `snat`
    Source,
    /// `dnat`
    Destination,
}

/// The expressions of one rule, inside `NFTA_RULE_EXPRESSIONS`.
pub struct Expressions<'a, 'b>(pub(crate) &'a mut Attributes<'b>);

impl Expressions<'_, '_> {
    /// Loads fields one after the other (`FIRST . SECOND`).
    pub fn load(&mut self, fields: &[Field]) {
        let mut word = 0;
        for field in fields {
            self.load_at(word, *field);
            word += field.length().div_ceil(4);
        }
    }

    /// Loads a field at this word, counted from 0.
    pub fn load_at(&mut self, word: u32, field: Field) {
        self.expression(field.expression(), |data| field.load(register(word), data));
    }

    /// Loads constants one after the other.
    pub fn load_values(&mut self, values: &[&[u8]]) {
        let mut word = 0;
        for value in values {
            self.expression("immediate", |data| {
                data.number(NFTA_IMMEDIATE_DREG, register(word));
                data.nest(NFTA_IMMEDIATE_DATA, |nest| nest.bytes(NFTA_DATA_VALUE, value));
            });
            word += u32::try_from(value.len()).unwrap_or(u32::MAX).div_ceil(4);
        }
    }

    /// Clears the bits that are not in `mask`, which is as long as the loaded value.
    pub fn mask(&mut self, mask: &[u8]) {
        self.expression("bitwise", |data| {
            data.number(NFTA_BITWISE_SREG, FIRST);
            data.number(NFTA_BITWISE_DREG, FIRST);
            data.number(NFTA_BITWISE_LEN, u32::try_from(mask.len()).unwrap_or(u32::MAX));
            data.nest(NFTA_BITWISE_MASK, |value| value.bytes(NFTA_DATA_VALUE, mask));
            data.nest(NFTA_BITWISE_XOR, |value| value.bytes(NFTA_DATA_VALUE, &vec![0; mask.len()]));
        });
    }

    /// Ends the rule unless the loaded value passes the comparison with `value`.
    pub fn compare(&mut self, comparison: Comparison, value: &[u8]) {
        self.expression("cmp", |data| {
            data.number(NFTA_CMP_SREG, FIRST);
            data.number(NFTA_CMP_OP, comparison as u32);
            data.nest(NFTA_CMP_DATA, |nest| nest.bytes(NFTA_DATA_VALUE, value));
        });
    }

    /// Loads a field and ends the rule unless it has this value.
    pub fn is(&mut self, field: Field, value: &[u8]) {
        self.load(&[field]);
        self.compare(Comparison::Equal, value);
    }

    /// `FROM-TO`: ends the rule unless the loaded value, in network order, is in this range.
    pub fn is_between(&mut self, from: &[u8], to: &[u8]) {
        self.compare(Comparison::AtLeast, from);
        self.compare(Comparison::AtMost, to);
    }

    /// `!= FROM-TO`: ends the rule if the loaded value, in network order, is in this range.
    pub fn is_not_between(&mut self, from: &[u8], to: &[u8]) {
        self.expression("range", |data| {
            data.number(NFTA_RANGE_SREG, FIRST);
            data.number(NFTA_RANGE_OP, libc::NFT_RANGE_NEQ.cast_unsigned());
            data.nest(NFTA_RANGE_FROM_DATA, |nest| nest.bytes(NFTA_DATA_VALUE, from));
            data.nest(NFTA_RANGE_TO_DATA, |nest| nest.bytes(NFTA_DATA_VALUE, to));
        });
    }

    /// `meta nfproto ipv4`: required in family inet before a rule reads an address.
    pub fn is_of_family(&mut self, family: Family) {
        self.is(Field::NetworkProtocol, &protocol(family).to_le_bytes()[..1]);
    }

    /// `@SET`: ends the rule unless the loaded value is an element.
    pub fn is_in(&mut self, set: &str) {
        self.look_up(set, |_| {});
    }

    /// `{ … }`: as [`Expressions::is_in`], for the rule's own set.
    pub fn is_in_own(&mut self, set: OwnSet) {
        self.look_up(ANONYMOUS_SET, |data| data.number(NFTA_LOOKUP_SET_ID, set.0));
    }

    /// `!= @SET`: ends the rule if the loaded value is an element.
    pub fn is_not_in(&mut self, set: &str) {
        let inverted = libc::NFT_LOOKUP_F_INV.cast_unsigned();
        self.look_up(set, |data| data.number(NFTA_LOOKUP_FLAGS, inverted));
    }

    /// `vmap @MAP`: ends the rule with the map's verdict for the loaded value, if it has one.
    pub fn decide_by(&mut self, map: &str) {
        self.look_up(map, |data| data.number(NFTA_LOOKUP_DREG, VERDICT));
    }

    /// `map @MAP`: loads the map's data for the loaded value. Ends the rule if the map has none.
    pub fn map(&mut self, map: &str) {
        self.look_up(map, |data| data.number(NFTA_LOOKUP_DREG, FIRST));
    }

    fn look_up(&mut self, set: &str, rest: impl FnOnce(&mut Attributes<'_>)) {
        self.expression("lookup", |data| {
            data.text(NFTA_LOOKUP_SET, set);
            data.number(NFTA_LOOKUP_SREG, FIRST);
            rest(data);
        });
    }

    /// An extension of xtables, as `iptables-nft -m NAME` writes it: `info` is its structure in the header of its name, filled
    /// up to whole words of eight bytes.
    pub fn extension(&mut self, name: &str, revision: u32, info: &[u8]) {
        self.expression("match", |data| {
            data.text(NFTA_MATCH_NAME, name);
            data.number(NFTA_MATCH_REV, revision);
            data.bytes(NFTA_MATCH_INFO, info);
        });
    }

    /// `counter`: counts packets and bytes.
    pub fn count(&mut self) {
        self.expression("counter", |_| {});
    }

    /// Ends the rule with a verdict.
    pub fn decide(&mut self, decision: Verdict<'_>) {
        self.expression("immediate", |data| {
            data.number(NFTA_IMMEDIATE_DREG, VERDICT);
            data.nest(NFTA_IMMEDIATE_DATA, |nest| verdict(nest, decision));
        });
    }

    /// `meta mark set MARK`
    pub fn set_mark(&mut self, mark: u32) {
        self.load_values(&[&mark.to_ne_bytes()]);
        self.expression("meta", |data| {
            data.number(NFTA_META_KEY, libc::NFT_META_MARK.cast_unsigned());
            data.number(NFTA_META_SREG, FIRST);
        });
    }

    /// `masquerade`: the source becomes the address of the interface that the packet goes out of.
    pub fn masquerade(&mut self) {
        self.expression("masq", |_| {});
    }

    /// `dnat ip to …`, `snat ip6 to …`: rewrites to the loaded address and, if `has_port`, to the port loaded after it.
    pub fn nat(&mut self, nat: Nat, family: Family, has_port: bool) {
        let kind = if nat == Nat::Source { libc::NFT_NAT_SNAT } else { libc::NFT_NAT_DNAT };
        self.expression("nat", |data| {
            data.number(NFTA_NAT_TYPE, kind.cast_unsigned());
            data.number(NFTA_NAT_FAMILY, protocol(family));
            data.number(NFTA_NAT_REG_ADDR_MIN, FIRST);
            if has_port {
                data.number(NFTA_NAT_REG_PROTO_MIN, register(family.address_len() / 4));
            }
        });
    }

    /// `redirect to :PORT`: the destination becomes this host, at the loaded port.
    pub fn redirect(&mut self) {
        self.expression("redir", |data| data.number(NFTA_REDIR_REG_PROTO_MIN, FIRST));
    }

    /// `fwd to LINK`, in family `netdev`: the packet goes out of the link with this index.
    pub fn forward_to(&mut self, link: u32) {
        self.load_values(&[&link.to_ne_bytes()]);
        self.expression("fwd", |data| data.number(NFTA_FWD_SREG_DEV, FIRST));
    }

    fn expression(&mut self, name: &str, data: impl FnOnce(&mut Attributes<'_>)) {
        self.0.nest(NFTA_LIST_ELEM, |element| {
            element.text(NFTA_EXPR_NAME, name);
            element.nest(NFTA_EXPR_DATA, data);
        });
    }
}

/// Returns `NFPROTO_IPV4` or `NFPROTO_IPV6`.
fn protocol(family: Family) -> u32 {
    match family {
        Family::V4 => libc::NFPROTO_IPV4.cast_unsigned(),
        Family::V6 => libc::NFPROTO_IPV6.cast_unsigned(),
    }
}

/// Returns the number of the register that begins at a word. Like `nft`, uses the registers of four words where one begins
/// there.
fn register(word: u32) -> u32 {
    match word % 4 {
        0 => FIRST + word / 4,
        _ => libc::NFT_REG32_00.cast_unsigned() + word,
    }
}

/// Appends the attribute of a verdict.
pub(crate) fn verdict(data: &mut Attributes<'_>, verdict: Verdict<'_>) {
    let (code, chain) = match verdict {
        Verdict::Accept => (libc::NF_ACCEPT, None),
        Verdict::Drop => (libc::NF_DROP, None),
        Verdict::Return => (libc::NFT_RETURN, None),
        Verdict::Jump(chain) => (libc::NFT_JUMP, Some(chain)),
    };
    data.nest(NFTA_DATA_VERDICT, |nest| {
        nest.number(NFTA_VERDICT_CODE, code.cast_unsigned());
        if let Some(chain) = chain {
            nest.text(NFTA_VERDICT_CHAIN, chain);
        }
    });
}
