//! nf_tables over netlink: tables, chains, rules, sets and maps, without the program `nft`. Nothing here knows pods.
//!
//! - A [`Batch`] is one transaction. [`Nftables`] sends it, or has the kernel check it ([`Nftables::dry_run`]).
//! - A [`Chain`] has any hook and priority. The [`Expressions`] of a rule load [`Field`]s, compare them, look them up in
//!   [`Set`]s, and end with a verdict or an address translation.
//! - A [`Claim`] belongs to one [`Claimant`]. A transaction proves that it still does.

mod attributes;
mod batch;
mod chain;
mod claim;
mod claimant;
mod constants;
mod element;
mod expressions;
mod field;
mod query;
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
pub use query::BaseChain;
pub use rule::Rule;
pub use set::{DataType, Fields, OwnSet, Set, Values};
pub use socket::{Failed, Nftables, Result, unsettled};
pub use table::{Table, TableFamily, TableState};
pub use user_data::UserData;
