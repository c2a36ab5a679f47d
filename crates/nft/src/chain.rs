//! Chains: where the kernel enters them, and the messages about them.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use nix::libc;

use crate::batch::Batch;
use crate::constants::{
    NFTA_CHAIN_HANDLE, NFTA_CHAIN_HOOK, NFTA_CHAIN_NAME, NFTA_CHAIN_POLICY, NFTA_CHAIN_TYPE,
    NFTA_CHAIN_USERDATA, NFTA_HOOK_DEV, NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY, NFTA_RULE_CHAIN,
};
use crate::table::TableFamily;
use crate::user_data::UserData;

/// A chain of rules, as `nft add chain TABLE NAME { …; comment "…"; }` describes it.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a> {
    /// Its name, unique in the table; at most 127 bytes.
    pub name: &'a str,
    /// Where the kernel enters it; without a hook, only jumps lead to it.
    pub hook: Option<ChainHook<'a>>,
    /// The comment that `nft` shows.
    pub comment: &'a str,
}

/// Where the kernel enters a base chain.
#[derive(Debug, Clone, Copy)]
pub struct ChainHook<'a> {
    /// What its rules may do.
    pub kind: ChainType,
    /// The point in a packet's way.
    pub point: HookPoint,
    /// Its place among the chains of this point, lowest first (`NF_IP_PRI_*` of uapi/linux/netfilter_ipv4.h).
    pub priority: i32,
    /// The link whose packets it sees. Required at the ingress of family `netdev`, and allowed at no other point.
    pub device: Option<&'a str>,
    /// What happens to a packet that no rule decides about.
    pub policy: Policy,
}

/// The type of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainType {
    /// `filter`: rules that accept, drop, mark or count.
    Filter,
    /// `nat`: sees the first packet of each connection, and may rewrite its addresses.
    Nat,
}

/// A point in a packet's way at which chains are entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookPoint {
    /// `prerouting`: everything that arrives.
    Prerouting,
    /// `input`: what is for this host.
    Input,
    /// `forward`: what is for another host.
    Forward,
    /// `output`: what this host sends.
    Output,
    /// `postrouting`: everything that leaves.
    Postrouting,
    /// `ingress` of family `netdev`: what arrives at one link.
    Ingress,
}

/// What happens to a packet at the end of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// `policy accept`, the kernel's default.
    Accept,
    /// `policy drop`.
    Drop,
}

impl ChainType {
    fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
        }
    }
}

impl HookPoint {
    /// `NF_INET_*`, `NF_BR_*` (the same numbers) and `NF_NETDEV_*`.
    fn number(self, family: TableFamily) -> u32 {
        let number = match self {
            Self::Ingress if family == TableFamily::Netdev => libc::NF_NETDEV_INGRESS,
            Self::Ingress => libc::NF_INET_INGRESS,
            Self::Prerouting => libc::NF_INET_PRE_ROUTING,
            Self::Input => libc::NF_INET_LOCAL_IN,
            Self::Forward => libc::NF_INET_FORWARD,
            Self::Output => libc::NF_INET_LOCAL_OUT,
            Self::Postrouting => libc::NF_INET_POST_ROUTING,
        };
        number.cast_unsigned()
    }
}

impl Batch {
    /// Adds a chain, unless one of this name and hook is there. Returns the message's index.
    ///
    /// To declare a base chain that is there makes the closing socket wait for an RCU grace period.
    ///
    /// The effect of `nft add chain`.
    pub fn add_chain(&mut self, chain: &Chain<'_>) -> usize {
        self.chain(0, chain)
    }

    /// Adds a chain; the kernel refuses the batch with `EEXIST` when one of this name is there. Returns the message's
    /// index.
    ///
    /// The effect of `nft create chain`.
    pub fn create_chain(&mut self, chain: &Chain<'_>) -> usize {
        self.chain(NLM_F_EXCL, chain)
    }

    fn chain(&mut self, flags: u16, chain: &Chain<'_>) -> usize {
        let family = self.family();
        self.message(libc::NFT_MSG_NEWCHAIN, NLM_F_CREATE | flags, |message| {
            message.text(NFTA_CHAIN_NAME, chain.name);
            if let Some(hook) = &chain.hook {
                message.text(NFTA_CHAIN_TYPE, hook.kind.name());
                message.nest(NFTA_CHAIN_HOOK, |nest| {
                    nest.number(NFTA_HOOK_HOOKNUM, hook.point.number(family));
                    nest.number(NFTA_HOOK_PRIORITY, hook.priority.cast_unsigned());
                    if let Some(device) = hook.device {
                        nest.text(NFTA_HOOK_DEV, device);
                    }
                });
                if hook.policy == Policy::Drop {
                    message.number(NFTA_CHAIN_POLICY, libc::NF_DROP.cast_unsigned());
                }
            }
            message.bytes(NFTA_CHAIN_USERDATA, UserData::of_comment(chain.comment).bytes());
        })
    }

    /// Deletes a chain without rules. The kernel refuses with `EBUSY` while rules or map elements lead to it.
    ///
    /// The effect of `nft delete chain TABLE NAME`.
    pub fn delete_chain(&mut self, name: &str) {
        self.message(libc::NFT_MSG_DELCHAIN, 0, |message| message.text(NFTA_CHAIN_NAME, name));
    }

    /// Deletes the chain with this number, which is never used again.
    ///
    /// The effect of `nft delete chain TABLE handle HANDLE`.
    pub fn delete_chain_by_handle(&mut self, handle: u64) {
        self.message(libc::NFT_MSG_DELCHAIN, 0, |message| {
            message.bytes(NFTA_CHAIN_HANDLE, &handle.to_be_bytes());
        });
    }

    /// Deletes all rules of a chain.
    ///
    /// The effect of `nft flush chain TABLE NAME`.
    pub fn flush_chain(&mut self, name: &str) {
        self.message(libc::NFT_MSG_DELRULE, 0, |message| message.text(NFTA_RULE_CHAIN, name));
    }
}
