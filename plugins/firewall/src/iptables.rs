//! The tables that `iptables-nft` keeps, and what is there for all pods, as the reference has it:
//!
//! ```text
//! -A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD
//! -A CNI-FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN
//! -A CNI-FORWARD -d 10.88.0.5/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
//! -A CNI-FORWARD -s 10.88.0.5/32 -j ACCEPT
//! ```
//!
//! The last two are a pod's: `rules.rs`.

use linux::{Attempts, Family, Feature, Result};
use nft::{
    Batch, Chain, ChainHook, ChainType, HookPoint, Nftables, Rule, Table, TableFamily, TableState, UserData,
    Verdict, unsettled,
};
use nix::errno::Errno;
use nix::libc::NF_IP_PRI_FILTER;

use crate::record;

pub(crate) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
pub(crate) const CNI_FORWARD: &str = "CNI-FORWARD";
const FORWARD: &str = "FORWARD";
const JUMP: &str = "CNI firewall plugin rules";
const ADMIN_JUMP: &str = "CNI firewall plugin admin overrides";

/// Returns `ip filter` or `ip6 filter`.
pub(crate) fn table(family: Family) -> Table {
    let family = match family {
        Family::V4 => TableFamily::Ipv4,
        Family::V6 => TableFamily::Ipv6,
    };
    Table { family, name: "filter" }
}

/// What the rules need of the kernel.
pub(crate) const FEATURE: Feature = Feature::NftablesCompat;

/// Creates the chains and the jumps that are missing. Rules of others, and the policy, stay as they are.
///
/// The rules of `CNI-FORWARD`, as many as there are pods, are listed only to find the jump to the administrator's
/// chain. From then on weir's own table has its handle.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn ensure(nftables: &mut Nftables, family: Family, admin_chain: &str) -> Result<()> {
    let table = table(family);
    let operation = format_args!("create chain {CNI_FORWARD} in nf_tables table {table}");
    for () in Attempts::default() {
        let step =
            next(nftables, family, admin_chain).map_err(|failed| failed.missing(FEATURE, operation))?;
        let (batch, is_ours) = match step {
            Step::None => return Ok(()),
            Step::Create(batch) => (batch, false),
            Step::Remember(batch) => (batch, true),
        };
        match nftables.transact(batch) {
            Ok(()) if is_ours => {}
            Ok(()) => note_firewalld(nftables),
            // Another process was faster.
            Err(failed) if failed.is(Errno::EEXIST) => {}
            Err(failed) if failed.is(Errno::ENOENT) && is_ours => record::create_table(nftables)?,
            Err(failed) => return Err(failed.missing(FEATURE, operation)),
        }
    }
    Err(unsettled(operation, table))
}

/// Says that firewalld runs with tables of its own. They are looked for once, before the first pod.
fn note_firewalld(nftables: &mut Nftables) {
    const FIREWALLD: Table = Table { family: TableFamily::Inet, name: "firewalld" };
    if nftables.has_chain(FIREWALLD, "filter_FORWARD").is_ok_and(|exists| exists) {
        cni::note(format_args!(
            "firewall: firewalld filters in nf_tables table {FIREWALLD}, which firewall does not change; to have it forward for pods: firewall-cmd --permanent --zone=trusted --add-source=SUBNET, then firewall-cmd --reload"
        ));
    }
}

/// What is to be done next.
enum Step {
    None,
    /// Create chains and jumps.
    Create(Batch),
    /// Keep the handle of the jump to the administrator's chain.
    Remember(Batch),
}

fn next(nftables: &mut Nftables, family: Family, admin_chain: &str) -> nft::Result<Step> {
    let table = table(family);
    let is_entered = is_entered(nftables, family)?;
    let known = record::admin_jump(nftables, family, admin_chain)?;
    if is_entered && is_admin_jump(nftables, family, known, admin_chain)? {
        return Ok(Step::None);
    }
    let rules = nftables.rules(table, Some(CNI_FORWARD))?;
    let admin_jump = rules.iter().find(|rule| leads_to(rule, admin_chain));
    if let Some(jump) = admin_jump.filter(|_| is_entered) {
        let mut batch = Batch::new(record::TABLE);
        let element = record::of_admin_jump(family, admin_chain, jump.handle);
        if known.is_some() {
            batch.delete_element(&element.set, &element.key);
        }
        batch.create_element(&element);
        return Ok(Step::Remember(batch));
    }
    let mut batch = Batch::new(table);
    batch.add_table(TableState::Unchanged, "");
    // A base chain that is added again makes the socket wait.
    if !nftables.has_chain(table, FORWARD)? {
        let hook = ChainHook::new(ChainType::Filter, HookPoint::Forward, NF_IP_PRI_FILTER);
        batch.create_chain(&Chain { name: FORWARD, hook: Some(hook), comment: "" });
    }
    if !nftables.has_chain(table, CNI_FORWARD)? {
        batch.create_chain(&Chain { name: CNI_FORWARD, hook: None, comment: "" });
    }
    batch.add_chain(&Chain { name: admin_chain, hook: None, comment: "" });
    if !is_entered {
        jump(&mut batch, FORWARD, JUMP, CNI_FORWARD);
    }
    if admin_jump.is_none() {
        jump(&mut batch, CNI_FORWARD, ADMIN_JUMP, admin_chain);
    }
    Ok(Step::Create(batch))
}

/// Returns whether this handle of `CNI-FORWARD` is that of the jump to the administrator's chain.
fn is_admin_jump(
    nftables: &mut Nftables,
    family: Family,
    handle: Option<u64>,
    admin_chain: &str,
) -> nft::Result<bool> {
    let Some(handle) = handle else { return Ok(false) };
    let rule = nftables.rule(table(family), CNI_FORWARD, handle)?;
    Ok(rule.is_some_and(|rule| leads_to(&rule, admin_chain)))
}

/// Returns whether `CNI-FORWARD` leads to the administrator's chain.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn has_admin_jump(
    nftables: &mut Nftables,
    family: Family,
    admin_chain: &str,
) -> nft::Result<bool> {
    let known = record::admin_jump(nftables, family, admin_chain)?;
    if is_admin_jump(nftables, family, known, admin_chain)? {
        return Ok(true);
    }
    let rules = nftables.rules(table(family), Some(CNI_FORWARD))?;
    Ok(rules.iter().any(|rule| leads_to(rule, admin_chain)))
}

/// Returns whether chain `FORWARD` leads to `CNI-FORWARD`.
pub(crate) fn is_entered(nftables: &mut Nftables, family: Family) -> nft::Result<bool> {
    let rules = nftables.rules(table(family), Some(FORWARD))?;
    Ok(rules.iter().any(|rule| leads_to(rule, CNI_FORWARD)))
}

/// Returns whether each packet goes from a rule to a chain.
fn leads_to(rule: &Rule, chain: &str) -> bool {
    let conditions =
        rule.expressions.iter().filter(|name| !["counter", "immediate"].contains(&name.as_str()));
    rule.leads_to.as_deref() == Some(chain) && conditions.count() == usize::from(rule.comment.is_some())
}

/// As `iptables -I CHAIN -m comment --comment COMMENT -j TARGET`.
fn jump(batch: &mut Batch, chain: &str, comment: &str, target: &str) {
    // `struct xt_comment_info` (uapi/linux/netfilter/xt_comment.h).
    let mut info = [0; 256];
    info.iter_mut().zip(comment.bytes()).for_each(|(to, from)| *to = from);
    batch.insert_rule(chain, &UserData::empty(), |rule| {
        rule.extension("comment", 0, &info);
        rule.count();
        rule.decide(Verdict::Jump(target));
    });
}
