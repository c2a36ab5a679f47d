//! Rules as the kernel answers them: what must be known of one to check it, or to tell whose it is.

use netlink_packet_core::NLM_F_DUMP;
use nix::errno::Errno;

use super::attributes::{each, find, find_nested, text};
use super::expressions::{NF_DROP, NFTA_EXPR_DATA, NFTA_EXPR_NAME, NFTA_IMMEDIATE_DATA, NFTA_LOOKUP_SET};
use super::objects::{
    self, NFT_MSG_GETRULE, NFTA_DATA_VERDICT, NFTA_RULE_EXPRESSIONS, NFTA_RULE_HANDLE, NFTA_RULE_USERDATA,
    NFTA_VERDICT_CHAIN, NFTA_VERDICT_CODE,
};
use super::records;
use super::{Failed, Nftables};
use crate::table::Table;
use linux::Attempts;

/// What is known of a rule.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Its number in the table, never used for another.
    pub handle: u64,
    /// The sets that it looks into.
    pub sets: Vec<String>,
    /// The chain that it jumps or goes to.
    pub leads_to: Option<String>,
    /// Whether it masquerades.
    pub masquerades: bool,
    /// Whether it drops.
    pub drops: bool,
    /// Its comment, from user data as `nft` writes it or from the extension `comment` of iptables.
    pub comment: Option<String>,
}

impl Rule {
    fn read(rule: &[u8]) -> Self {
        let handle = find(rule, NFTA_RULE_HANDLE).and_then(|handle| handle.try_into().ok());
        let mut read = Self {
            handle: handle.map_or(0, u64::from_be_bytes),
            comment: find(rule, NFTA_RULE_USERDATA).and_then(records::read_comment),
            ..Self::default()
        };
        for (_, expression) in each(find(rule, NFTA_RULE_EXPRESSIONS).unwrap_or_default()) {
            let data = find(expression, NFTA_EXPR_DATA).unwrap_or_default();
            match find(expression, NFTA_EXPR_NAME).map(text) {
                Some(b"masq") => read.masquerades = true,
                Some(b"lookup") => read.sets.extend(find(data, NFTA_LOOKUP_SET).map(string)),
                Some(b"immediate") => {
                    let verdict = find_nested(data, &[NFTA_IMMEDIATE_DATA, NFTA_DATA_VERDICT]);
                    let verdict = verdict.unwrap_or_default();
                    read.leads_to = find(verdict, NFTA_VERDICT_CHAIN).map(string).or(read.leads_to);
                    read.drops |= find(verdict, NFTA_VERDICT_CODE) == Some(&NF_DROP.to_be_bytes());
                }
                Some(b"match") => read.comment = xtables_comment(data).or(read.comment),
                _ => {}
            }
        }
        read
    }
}

fn string(name: &[u8]) -> String {
    String::from_utf8_lossy(text(name)).into_owned()
}

/// `-m comment --comment …`: `struct xt_comment_info` (uapi/linux/netfilter/xt_comment.h), text and zeros.
fn xtables_comment(extension: &[u8]) -> Option<String> {
    const NFTA_MATCH_NAME: u16 = 1;
    const NFTA_MATCH_INFO: u16 = 3;
    let is_comment = find(extension, NFTA_MATCH_NAME).map(text) == Some(b"comment");
    let info = find(extension, NFTA_MATCH_INFO).filter(|_| is_comment)?;
    info.split(|byte| *byte == 0).next().map(|text| String::from_utf8_lossy(text).into_owned())
}

impl Nftables {
    /// The rules of one chain, or of all chains of the table, in their order; none when there is no such chain
    /// or table. On a node where transactions disturbed each dump for seconds, one may be missing.
    pub(crate) fn rules(&mut self, table: Table, chain: Option<&str>) -> Result<Vec<Rule>, Failed> {
        let mut rules = Vec::new();
        for () in Attempts::default() {
            rules.clear();
            let outcome = self.read(
                table,
                NFT_MSG_GETRULE,
                NLM_F_DUMP,
                |request| objects::rules_of(request, chain),
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
