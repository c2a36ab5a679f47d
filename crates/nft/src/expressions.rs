//! The expressions of our rules. Comparisons and lookups begin at register 1.

use std::net::IpAddr;

use super::attributes::Attributes;
use super::objects::{NFTA_DATA_VALUE, NFTA_DATA_VERDICT, NFTA_VERDICT_CODE};
use super::subnet::{nfproto, octets};
use linux::Family;

const NFTA_LIST_ELEM: u16 = 1;
pub(crate) const NFTA_EXPR_NAME: u16 = 1;
pub(crate) const NFTA_EXPR_DATA: u16 = 2;
pub(crate) const NFTA_LOOKUP_SET: u16 = 1;
const NFTA_LOOKUP_SREG: u16 = 2;
const NFTA_LOOKUP_SET_ID: u16 = 4;
pub(crate) const NFTA_CMP_DATA: u16 = 3;
pub(crate) const NFTA_META_KEY: u16 = 2;
pub(crate) const NFT_META_IIF: u32 = 4;
const NFTA_IMMEDIATE_DREG: u16 = 1;
pub(crate) const NFTA_IMMEDIATE_DATA: u16 = 2;
/// `NF_DROP` and `NF_ACCEPT` (uapi/linux/netfilter.h).
pub(crate) const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;
/// The name of a set that is one rule's own: the kernel puts a number in the place of `%d`.
pub(crate) const ANONYMOUS_SET: &str = "__set%d";

const NFT_PAYLOAD_NETWORK_HEADER: u32 = 1;

const NFT_REG_VERDICT: u32 = 0;
const NFT_REG_1: u32 = 1;
const NFT_REG_2: u32 = 2;

/// Which address of a packet.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Source,
    Destination,
}

/// How a comparison lets a packet go on to the next expression.
#[derive(Clone, Copy)]
pub(crate) enum Comparison {
    Equal = 0,
    Different = 1,
    AtMost = 3,
    AtLeast = 5,
}

/// The expressions of one rule, inside `NFTA_RULE_EXPRESSIONS`.
pub(crate) struct Expressions<'a, 'b>(pub &'a mut Attributes<'b>);

impl Expressions<'_, '_> {
    /// Loads `iifname`, which fills the register.
    pub fn load_input_interface(&mut self) {
        const NFT_META_IIFNAME: u32 = 6;
        self.load_meta(NFT_META_IIFNAME);
    }

    /// `iif INDEX`: ends the rule unless the packet came in by the link with this index.
    pub fn came_in_by(&mut self, link: u32) {
        self.load_meta(NFT_META_IIF);
        self.compare(Comparison::Equal, &link.to_ne_bytes());
    }

    /// `meta protocol PROTOCOL`, an `ETH_P_*`: that of a frame with one VLAN tag is what comes after the tag.
    pub fn of_protocol(&mut self, protocol: u16) {
        const NFT_META_PROTOCOL: u32 = 1;
        self.load_meta(NFT_META_PROTOCOL);
        self.compare(Comparison::Equal, &protocol.to_be_bytes());
    }

    /// `@nh,OFFSET,8`: loads one byte of the network header, or of what follows it.
    pub fn load_byte(&mut self, offset: u32) {
        self.load_payload(NFT_REG_1, NFT_PAYLOAD_NETWORK_HEADER, offset, 1);
    }

    /// `meta nfproto ipv4`: in a table of family inet the rule must say whose header it reads.
    pub fn of_family(&mut self, family: Family) {
        const NFT_META_NFPROTO: u32 = 15;
        self.load_meta(NFT_META_NFPROTO);
        self.compare(Comparison::Equal, &[nfproto(family)]);
    }

    /// Loads `ip saddr`, `ip6 daddr`, … into the register.
    pub fn load_address(&mut self, family: Family, side: Side) {
        let offset = match (family, side) {
            (Family::V4, Side::Source) => 12,
            (Family::V4, Side::Destination) => 16,
            (Family::V6, Side::Source) => 8,
            (Family::V6, Side::Destination) => 24,
        };
        self.load_payload(NFT_REG_1, NFT_PAYLOAD_NETWORK_HEADER, offset, family.address_len());
    }

    /// Loads `ether saddr` into the register after the first: a lookup takes both, as `. ether saddr`.
    pub fn load_source_hardware_address(&mut self) {
        const NFT_PAYLOAD_LL_HEADER: u32 = 0;
        const SOURCE: u32 = 6;
        const LENGTH: u32 = 6;
        self.load_payload(NFT_REG_2, NFT_PAYLOAD_LL_HEADER, SOURCE, LENGTH);
    }

    /// Clears the bits of the register that are not in `mask`.
    pub fn mask(&mut self, mask: IpAddr) {
        const NFTA_BITWISE_SREG: u16 = 1;
        const NFTA_BITWISE_DREG: u16 = 2;
        const NFTA_BITWISE_LEN: u16 = 3;
        const NFTA_BITWISE_MASK: u16 = 4;
        const NFTA_BITWISE_XOR: u16 = 5;
        let family = Family::of_address(mask);
        self.expression("bitwise", |data| {
            data.number(NFTA_BITWISE_SREG, NFT_REG_1);
            data.number(NFTA_BITWISE_DREG, NFT_REG_1);
            data.number(NFTA_BITWISE_LEN, family.address_len());
            data.nest(NFTA_BITWISE_MASK, |value| value.bytes(NFTA_DATA_VALUE, &octets(mask)));
            data.nest(NFTA_BITWISE_XOR, |value| {
                value.bytes(NFTA_DATA_VALUE, &octets(family.unspecified()));
            });
        });
    }

    /// Ends the rule unless the register compares to `value` as wanted.
    pub fn compare(&mut self, comparison: Comparison, value: &[u8]) {
        const NFTA_CMP_SREG: u16 = 1;
        const NFTA_CMP_OP: u16 = 2;
        self.expression("cmp", |data| {
            data.number(NFTA_CMP_SREG, NFT_REG_1);
            data.number(NFTA_CMP_OP, comparison as u32);
            data.nest(NFTA_CMP_DATA, |nest| nest.bytes(NFTA_DATA_VALUE, value));
        });
    }

    /// Ends the rule unless the register is an element of `set`.
    pub fn is_in(&mut self, set: &str) {
        self.expression("lookup", |data| {
            data.text(NFTA_LOOKUP_SET, set);
            data.number(NFTA_LOOKUP_SREG, NFT_REG_1);
        });
    }

    /// Ends the rule unless the register is an element of this rule's own set, which this number names in the
    /// transaction.
    pub fn is_in_own(&mut self, id: u32) {
        self.expression("lookup", |data| {
            data.text(NFTA_LOOKUP_SET, ANONYMOUS_SET);
            data.number(NFTA_LOOKUP_SREG, NFT_REG_1);
            data.number(NFTA_LOOKUP_SET_ID, id);
        });
    }

    /// Ends the rule if the register is an element of `set`.
    pub fn is_not_in(&mut self, set: &str) {
        const NFTA_LOOKUP_FLAGS: u16 = 5;
        const NFT_LOOKUP_F_INV: u32 = 1;
        self.expression("lookup", |data| {
            data.text(NFTA_LOOKUP_SET, set);
            data.number(NFTA_LOOKUP_SREG, NFT_REG_1);
            data.number(NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
        });
    }

    /// `vmap @map`: does what the map says for the register.
    pub fn decide_by(&mut self, map: &str) {
        const NFTA_LOOKUP_DREG: u16 = 3;
        self.expression("lookup", |data| {
            data.text(NFTA_LOOKUP_SET, map);
            data.number(NFTA_LOOKUP_SREG, NFT_REG_1);
            data.number(NFTA_LOOKUP_DREG, NFT_REG_VERDICT);
        });
    }

    /// `masquerade`: the source becomes the address of the interface that the packet leaves by.
    pub fn masquerade(&mut self) {
        self.expression("masq", |_| {});
    }

    /// `counter`: packets and bytes that came so far.
    pub fn count(&mut self) {
        self.expression("counter", |_| {});
    }

    /// `drop`
    pub fn drop(&mut self) {
        self.end_with(NF_DROP);
    }

    /// `accept`
    pub fn accept(&mut self) {
        self.end_with(NF_ACCEPT);
    }

    fn end_with(&mut self, verdict: u32) {
        self.expression("immediate", |data| {
            data.number(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
            data.nest(NFTA_IMMEDIATE_DATA, |nest| {
                nest.nest(NFTA_DATA_VERDICT, |code| code.number(NFTA_VERDICT_CODE, verdict));
            });
        });
    }

    /// `fwd to LINK`: the packet goes out of the link with this index.
    pub fn forward_to(&mut self, link: u32) {
        const NFTA_FWD_SREG_DEV: u16 = 1;
        self.expression("immediate", |data| {
            data.number(NFTA_IMMEDIATE_DREG, NFT_REG_1);
            data.nest(NFTA_IMMEDIATE_DATA, |nest| nest.bytes(NFTA_DATA_VALUE, &link.to_ne_bytes()));
        });
        self.expression("fwd", |data| data.number(NFTA_FWD_SREG_DEV, NFT_REG_1));
    }

    fn load_meta(&mut self, key: u32) {
        const NFTA_META_DREG: u16 = 1;
        self.expression("meta", |data| {
            data.number(NFTA_META_KEY, key);
            data.number(NFTA_META_DREG, NFT_REG_1);
        });
    }

    fn load_payload(&mut self, register: u32, base: u32, offset: u32, length: u32) {
        const NFTA_PAYLOAD_DREG: u16 = 1;
        const NFTA_PAYLOAD_BASE: u16 = 2;
        const NFTA_PAYLOAD_OFFSET: u16 = 3;
        const NFTA_PAYLOAD_LEN: u16 = 4;
        self.expression("payload", |data| {
            data.number(NFTA_PAYLOAD_DREG, register);
            data.number(NFTA_PAYLOAD_BASE, base);
            data.number(NFTA_PAYLOAD_OFFSET, offset);
            data.number(NFTA_PAYLOAD_LEN, length);
        });
    }

    fn expression(&mut self, name: &str, data: impl FnOnce(&mut Attributes<'_>)) {
        self.0.nest(NFTA_LIST_ELEM, |element| {
            element.text(NFTA_EXPR_NAME, name);
            element.nest(NFTA_EXPR_DATA, data);
        });
    }
}
