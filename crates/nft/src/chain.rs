//! Chains: where the kernel enters them, and the messages about them.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use nix::libc;

use crate::batch::Batch;
use crate::constants::*;
use crate::table::TableFamily;
use crate::user_data::UserData;

/// A chain of rules, as `nft add chain TABLE NAME { …; comment "…"; }` describes it.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a> {
    /// Its name, unique in the table; at most 127 bytes.
    pub name: &'a str,
    /// Where the kernel enters it. A chain without a hook is reached by jumps only.
    pub hook: Option<ChainHook<'a>>,
    /// The comment that `nft` shows; an empty one is none.
    pub comment: &'a str,
}

/// Where the kernel enters a base chain.
#[derive(Debug, Clone, Copy)]
pub struct ChainHook<'a> {
    /// Its type, which limits the statements of its rules.
    pub kind: ChainType,
    /// The point in a packet's path.
    pub point: HookPoint,
    /// Its place among the chains of this point, lowest first (`NF_IP_PRI_*` of uapi/linux/netfilter_ipv4.h).
    pub priority: i32,
    /// The link of the packets that it sees. Required at [`HookPoint::Ingress`], allowed nowhere else.
    pub device: Option<&'a str>,
    /// The verdict for a packet that no rule decides.
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

/// A point in a packet's path at which the kernel enters chains.
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
    /// `ingress`, in family `netdev` or (since Linux 5.10) `inet`: what arrives at one link.
    Ingress,
}

/// The verdict at the end of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// `policy accept`, the kernel's default.
    Accept,
    /// `policy drop`.
    Drop,
}

impl ChainHook<'_> {
    /// Returns a hook for all links, with policy accept.
    pub fn new(kind: ChainType, point: HookPoint, priority: i32) -> Self {
        Self { kind, point, priority, device: None, policy: Policy::Accept }
    }
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
    /// Adds a chain, unless it exists. Returns the message's index.
    ///
    /// Adding a base chain that exists makes the socket wait for an RCU grace period when it is closed.
    ///
    /// Equivalent to `nft add chain`.
    pub fn add_chain(&mut self, chain: &Chain<'_>) -> usize {
        self.chain(0, chain)
    }

    /// Adds a chain. The kernel refuses the batch with `EEXIST` if the name exists. Returns the message's
    /// index.
    ///
    /// Equivalent to `nft create chain`.
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
            if !chain.comment.is_empty() {
                message.bytes(NFTA_CHAIN_USERDATA, UserData::of_comment(chain.comment).bytes());
            }
        })
    }

    /// Deletes a chain without rules. The kernel refuses with `EBUSY` while rules or map elements lead to it.
    ///
    /// Equivalent to `nft delete chain TABLE NAME`.
    pub fn delete_chain(&mut self, name: &str) {
        self.message(libc::NFT_MSG_DELCHAIN, 0, |message| message.text(NFTA_CHAIN_NAME, name));
    }

    /// Deletes the chain with this handle. Handles are never reused.
    ///
    /// Equivalent to `nft delete chain TABLE handle HANDLE`.
    pub fn delete_chain_by_handle(&mut self, handle: u64) {
        self.message(libc::NFT_MSG_DELCHAIN, 0, |message| {
            message.bytes(NFTA_CHAIN_HANDLE, &handle.to_be_bytes());
        });
    }

    /// Deletes all rules of a chain.
    ///
    /// Equivalent to `nft flush chain TABLE NAME`.
    pub fn flush_chain(&mut self, name: &str) {
        self.message(libc::NFT_MSG_DELRULE, 0, |message| message.text(NFTA_RULE_CHAIN, name));
    }
}
