//! `bandwidth`: where limits come from, what they do to traffic, what is left.
//!
//! | file | subject |
//! |---|---|
//! | `setting.rs` | a shaped pod, as the kernel shows it |
//! | `annotations.rs` | annotations, the runtime's capability, which of them counts |
//! | `limit_range.rs` | limits of a namespace's pods |
//! | `subnets.rs` | exempt traffic is never queued |
//! | `leftovers.rs` | remains of killed ADDs, GC |
//! | `bypass.rs` | programs and filters of others do not lift a limit, or it is reported |
//! | `status.rs` | STATUS |
//! | `tags.rs` | exempt traffic and the rest behind VLAN tags |
//! | `live.rs` | live changes of pods with exempt subnets |
//! | `numbers.rs` | limits that cannot be kept as they are asked for |
//! | `pairs.rs` | pairs of other main plugins, several interfaces, GC |
//! | `reference.rs` | before and after the Go plugin |
//! | `throughput.rs` | that a limit is the limit |
//! | `owner.rs` | late calls, pairs of others, renamed interfaces, long and odd names |

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

mod annotations;
mod bypass;
mod leftovers;
mod limit_range;
mod live;
mod numbers;
mod owner;
mod pairs;
mod reference;
mod setting;
mod status;
mod subnets;
mod tags;
mod throughput;
