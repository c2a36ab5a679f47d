//! Rules: the messages that add and delete them, and what is read back.

use linux::Attempts;
use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP};
use nix::errno::Errno;
use nix::libc;

use crate::attributes::{each, find, find_nested, string, text};
use crate::batch::Batch;
use crate::constants::*;
use crate::expressions::Expressions;
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
        self.message(libc::NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, |rule| {
            rule.text(NFTA_RULE_CHAIN, chain);
            rule.nest(NFTA_RULE_EXPRESSIONS, |list| expressions(&mut Expressions(list)));
            rule.bytes(NFTA_RULE_USERDATA, user_data.bytes());
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
        let (mut loads_input_link, mut value) = (false, None);
        for (_, expression) in each(find(rule, NFTA_RULE_EXPRESSIONS).unwrap_or_default()) {
            let data = find(expression, NFTA_EXPR_DATA).unwrap_or_default();
            let number = |path| {
                find_nested(data, path).and_then(|value| Some(u32::from_ne_bytes(value.try_into().ok()?)))
            };
            match find(expression, NFTA_EXPR_NAME).map(text) {
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
                    read.drops |= find(verdict, NFTA_VERDICT_CODE) == Some(&libc::NF_DROP.to_be_bytes());
                }
                Some(b"fwd") => read.forwards_to = value,
                Some(b"match") => read.comment = xtables_comment(data).or(read.comment),
                _ => {}
            }
        }
        read
    }
}

/// `-m comment --comment …`: `struct xt_comment_info` (uapi/linux/netfilter/xt_comment.h), text and zeros.
fn xtables_comment(extension: &[u8]) -> Option<String> {
    let is_comment = find(extension, NFTA_MATCH_NAME).map(text) == Some(b"comment");
    let info = find(extension, NFTA_MATCH_INFO).filter(|_| is_comment)?;
    info.split(|byte| *byte == 0).next().map(|text| String::from_utf8_lossy(text).into_owned())
}

impl Nftables {
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
