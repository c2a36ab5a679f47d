//! nf_tables on the wire: tables, chains, rules, sets and maps, in messages of our own, without `nft` or `iptables`.
//! Nothing here knows pods.
//!
//! - A [`Batch`] is one transaction: its messages happen all together or not at all. [`Nftables`] sends it, or has the
//!   kernel check it without doing anything ([`Nftables::dry_run`]), and reads what is there.
//! - A [`Chain`] has any hook and priority; the [`Expressions`] of a rule load [`Field`]s, compare and look them up, and
//!   decide.
//! - A [`Claim`] is what belongs to one [`Claimant`]: a transaction proves that it still does.

mod attributes;
mod batch;
mod chain;
mod claim;
mod claimant;
mod constants;
mod element;
mod expressions;
mod field;
mod rule;
mod set;
mod socket;
mod table;
#[cfg(test)]
mod tests;
mod user_data;

pub use batch::Batch;
pub use chain::{Chain, ChainHook, ChainType, HookPoint, Policy};
pub use claim::{Claim, FoundChain};
pub use claimant::{Claimant, Digest};
pub use element::{Data, Element, FoundElement};
pub use expressions::{Comparison, Expressions, Nat, Verdict};
pub use field::{Field, Side, ct_state, ct_status, octets};
pub use rule::Rule;
pub use set::{DataType, Fields, OwnSet, Set, Values};
pub use socket::{BaseChain, Failed, Nftables, unsettled};
pub use table::{Table, TableFamily, TableState};
pub use user_data::UserData;
