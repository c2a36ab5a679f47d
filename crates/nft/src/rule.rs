//! Rules: the messages that add and delete them, and what is read back.

use linux::Attempts;
use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_ECHO};
use nix::errno::Errno;
use nix::libc;

use crate::attributes::{each, find, find_nested, string, text};
use crate::batch::{Batch, FAMILY_HEADER_LEN};
use crate::constants::*;
use crate::expressions::{Comparison, Expressions};
use crate::socket::{Nftables, Result};
use crate::table::Table;
use crate::user_data::UserData;

impl Batch {
    /// Adds a rule at the end of a chain. Returns the message's index.
    ///
    /// Equivalent to `nft add rule TABLE CHAIN …`.
    pub fn add_rule(
        &mut self,
        chain: &str,
        user_data: &UserData,
        expressions: impl FnOnce(&mut Expressions<'_, '_>),
    ) -> usize {
        self.rule(NLM_F_APPEND, chain, user_data, expressions)
    }

    /// As [`Batch::add_rule`]; [`Nftables::transact_for_handles`] returns the rule's handle.
    pub fn add_echoed_rule(
        &mut self,
        chain: &str,
        user_data: &UserData,
        expressions: impl FnOnce(&mut Expressions<'_, '_>),
    ) -> usize {
        self.rule(NLM_F_APPEND | NLM_F_ECHO, chain, user_data, expressions)
    }

    /// Adds a rule at the begin of a chain. Returns the message's index.
    ///
    /// Equivalent to `nft insert rule TABLE CHAIN …`.
    pub fn insert_rule(
        &mut self,
        chain: &str,
        user_data: &UserData,
        expressions: impl FnOnce(&mut Expressions<'_, '_>),
    ) -> usize {
        self.rule(0, chain, user_data, expressions)
    }

    fn rule(
        &mut self,
        flags: u16,
        chain: &str,
        user_data: &UserData,
        expressions: impl FnOnce(&mut Expressions<'_, '_>),
    ) -> usize {
        self.message(libc::NFT_MSG_NEWRULE, NLM_F_CREATE | flags, |rule| {
            rule.text(NFTA_RULE_CHAIN, chain);
            rule.nest(NFTA_RULE_EXPRESSIONS, |list| expressions(&mut Expressions(list)));
            if !user_data.bytes().is_empty() {
                rule.bytes(NFTA_RULE_USERDATA, user_data.bytes());
            }
        })
    }

    /// Deletes the rule with this handle. The kernel refuses the batch with `ENOENT` if it does not exist.
    ///
    /// Equivalent to `nft delete rule TABLE CHAIN handle HANDLE`.
    pub fn delete_rule(&mut self, chain: &str, handle: u64) {
        self.message(libc::NFT_MSG_DELRULE, 0, |rule| {
            rule.text(NFTA_RULE_CHAIN, chain);
            rule.bytes(NFTA_RULE_HANDLE, &handle.to_be_bytes());
        });
    }
}

/// A rule as it was read, as far as weir's rules and those of the reference plugins go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// The chain that it is in.
    pub chain: String,
    /// Its handle, which is never reused in the table.
    pub handle: u64,
    /// The index of the link that the packet must have come in by.
    pub input_link: Option<u32>,
    /// The sets and maps that it looks into.
    pub sets: Vec<String>,
    /// The chain that it jumps or goes to.
    pub leads_to: Option<String>,
    /// The index of the link that the packet goes out of (`fwd to`).
    pub forwards_to: Option<u32>,
    /// Whether it masquerades.
    pub masquerades: bool,
    /// Whether it drops.
    pub drops: bool,
    /// Whether it accepts.
    pub accepts: bool,
    /// The names of its expressions, in their order.
    pub expressions: Vec<String>,
    /// The extensions of iptables that it matches with: the name of each, and its structure as the kernel has it.
    pub extensions: Vec<(String, Vec<u8>)>,
    /// What the first loaded value of the packet must be equal to, with the value's offset in the network header.
    pub network_field: Option<(u32, Vec<u8>)>,
    /// Its comment, from user data as `nft` writes it or from the extension `comment` of iptables.
    pub comment: Option<String>,
    /// Its user data.
    pub user_data: Vec<u8>,
}

impl Rule {
    fn read(rule: &[u8]) -> Self {
        let handle = find(rule, NFTA_RULE_HANDLE).and_then(|handle| handle.try_into().ok());
        let user_data = find(rule, NFTA_RULE_USERDATA).unwrap_or_default();
        let mut read = Self {
            chain: find(rule, NFTA_RULE_CHAIN).map(string).unwrap_or_default(),
            handle: handle.map_or(0, u64::from_be_bytes),
            comment: UserData::comment(user_data),
            user_data: user_data.to_vec(),
            ..Self::default()
        };
        let (mut loads_input_link, mut value, mut offset) = (false, None, None);
        for (_, expression) in each(find(rule, NFTA_RULE_EXPRESSIONS).unwrap_or_default()) {
            let data = find(expression, NFTA_EXPR_DATA).unwrap_or_default();
            let number = |path| {
                find_nested(data, path).and_then(|value| Some(u32::from_ne_bytes(value.try_into().ok()?)))
            };
            let name = find(expression, NFTA_EXPR_NAME).map(text);
            read.expressions.extend(name.map(|name| String::from_utf8_lossy(name).into_owned()));
            match name {
                Some(b"payload") => offset = network_offset(data).filter(|_| read.network_field.is_none()),
                Some(b"cmp") if offset.is_some() => {
                    let is_equal = find(data, NFTA_CMP_OP) == Some(&(Comparison::Equal as u32).to_be_bytes());
                    let value = find_nested(data, &[NFTA_CMP_DATA, NFTA_DATA_VALUE]).map(<[u8]>::to_vec);
                    read.network_field = offset.take().filter(|_| is_equal).zip(value);
                }
                Some(b"masq") => read.masquerades = true,
                Some(b"meta") => {
                    loads_input_link = find(data, NFTA_META_KEY) == Some(&libc::NFT_META_IIF.to_be_bytes());
                }
                Some(b"cmp") if loads_input_link => {
                    read.input_link = number(&[NFTA_CMP_DATA, NFTA_DATA_VALUE]);
                }
                Some(b"lookup") => read.sets.extend(find(data, NFTA_LOOKUP_SET).map(string)),
                Some(b"immediate") => {
                    value = number(&[NFTA_IMMEDIATE_DATA, NFTA_DATA_VALUE]).or(value);
                    let verdict = find_nested(data, &[NFTA_IMMEDIATE_DATA, NFTA_DATA_VERDICT]);
                    let verdict = verdict.unwrap_or_default();
                    read.leads_to = find(verdict, NFTA_VERDICT_CHAIN).map(string).or(read.leads_to);
                    let code = find(verdict, NFTA_VERDICT_CODE);
                    read.drops |= code == Some(&libc::NF_DROP.to_be_bytes());
                    read.accepts |= code == Some(&libc::NF_ACCEPT.to_be_bytes());
                }
                Some(b"fwd") => read.forwards_to = value,
                Some(b"match") => {
                    read.comment = xtables_comment(data).or(read.comment);
                    let name = find(data, NFTA_MATCH_NAME).map(string).unwrap_or_default();
                    let info = find(data, NFTA_MATCH_INFO).unwrap_or_default();
                    read.extensions.push((name, info.to_vec()));
                }
                _ => {}
            }
        }
        read
    }
}

/// Returns the offset of what `payload` loads, if it is of the network header.
fn network_offset(payload: &[u8]) -> Option<u32> {
    let base = libc::NFT_PAYLOAD_NETWORK_HEADER.to_be_bytes();
    find(payload, NFTA_PAYLOAD_BASE).filter(|found| *found == base)?;
    Some(u32::from_be_bytes(find(payload, NFTA_PAYLOAD_OFFSET)?.try_into().ok()?))
}

/// `-m comment --comment …`: `struct xt_comment_info` (uapi/linux/netfilter/xt_comment.h), text and zeros.
fn xtables_comment(extension: &[u8]) -> Option<String> {
    let is_comment = find(extension, NFTA_MATCH_NAME).map(text) == Some(b"comment");
    let info = find(extension, NFTA_MATCH_INFO).filter(|_| is_comment)?;
    info.split(|byte| *byte == 0).next().map(|text| String::from_utf8_lossy(text).into_owned())
}

impl Nftables {
    /// Returns the rule with this handle; none if it, its chain or the table does not exist.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn rule(&mut self, table: Table, chain: &str, handle: u64) -> Result<Option<Rule>> {
        let mut found = None;
        let outcome = self.read(
            table,
            libc::NFT_MSG_GETRULE,
            0,
            |request| {
                request.text(NFTA_RULE_CHAIN, chain);
                request.bytes(NFTA_RULE_HANDLE, &handle.to_be_bytes());
            },
            |rule| found = Some(Rule::read(rule)),
        );
        match outcome {
            Err(failed) if failed.is(Errno::ENOENT) => Ok(None),
            outcome => outcome.map(|()| found),
        }
    }

    /// As [`Nftables::transact`]; returns the handles of the rules that [`Batch::add_echoed_rule`] added, in their order.
    ///
    /// Equivalent to `nft --echo --handle -f`.
    ///
    /// # Errors
    /// The kernel's refusal, with the message that it refused.
    pub fn transact_for_handles(&mut self, batch: Batch) -> Result<Vec<u64>> {
        let mut handles = Vec::new();
        self.send(batch, true, |reply| {
            let is_rule = i32::from(reply.kind) == libc::NFNL_SUBSYS_NFTABLES << 8 | libc::NFT_MSG_NEWRULE;
            let rule = reply.payload.get(FAMILY_HEADER_LEN..).filter(|_| is_rule);
            let handle = rule.and_then(|rule| find(rule, NFTA_RULE_HANDLE)?.try_into().ok());
            handles.extend(handle.map(u64::from_be_bytes));
        })?;
        Ok(handles)
    }

    /// Returns the rules of one chain, or of all chains of the table, in their order; none if there is no such
    /// chain or table. After seconds of transactions that disturb every dump, one may be missing.
    ///
    /// Equivalent to `nft -a list chain TABLE CHAIN`, or `nft -a list table TABLE`.
    ///
    /// # Errors
    /// The kernel's refusal, with the message that it refused.
    pub fn rules(&mut self, table: Table, chain: Option<&str>) -> Result<Vec<Rule>> {
        let mut rules = Vec::new();
        for () in Attempts::default() {
            rules.clear();
            let outcome = self.read(
                table,
                libc::NFT_MSG_GETRULE,
                NLM_F_DUMP,
                |request| {
                    if let Some(chain) = chain {
                        request.text(NFTA_RULE_CHAIN, chain);
                    }
                },
                |rule| rules.push(Rule::read(rule)),
            );
            match outcome {
                Err(failed) if failed.is(Errno::EINTR) => {}
                Err(failed) if failed.is(Errno::ENOENT) => return Ok(Vec::new()),
                outcome => return outcome.map(|()| rules),
            }
        }
        Ok(rules)
    }
}
