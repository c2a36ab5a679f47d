//! `bridge`: a pod on a bridge of the host, with addresses from `host-local` or without any.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, its helpers included")]

mod addresses;
mod at_once;
mod attachment;
mod check;
mod del;
mod device;
mod dhcp;
mod gc;
mod gc_spares;
mod mac;
mod ownership;
mod together;
mod unfinished;
