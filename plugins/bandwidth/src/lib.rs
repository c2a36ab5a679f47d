//! `bandwidth`: limits what a pod receives and what it sends, behind any main plugin that gives the pod one
//! end of a veth pair.
//!
//! What goes *to* the pod (`ingressRate`) is shaped where it leaves the host's end of the pair. What comes
//! *from* the pod (`egressRate`) arrives there and is led through an ifb device, where it is shaped.
//! `shaping` turns rate and burst into the kernel's numbers, and `burst`
//! knows the bursts by which runtimes say that nobody chose one.
//!
//! Names in the kernel are the reference plugin's, so that either can check and remove what the other made.

mod add;
mod annotations;
mod burst;
mod check;
mod choice;
mod config;
mod del;
mod direction;
mod effect;
mod error;
mod gc;
mod host_end;
mod ifb;
mod kernel;
mod layout;
mod limit_range;
mod live;
mod quantity;
mod record;
mod redirection;
mod release;
mod shaper;
mod shaping;
mod status;
mod subnets;

pub use effect::NotInEffect;
pub use error::{Error, Result};
pub use live::{Change, Known, Pair, ShapedDirection, change, pairs};
pub use quantity::{QuantityError, RateError, quantity, rate};
pub use subnets::Subnets;

use cni::{AddResult, Plugin, Request};

/// The plugin.
pub struct Bandwidth;

impl Plugin for Bandwidth {
    const NAME: &'static str = "bandwidth";
    type Error = Error;

    fn add(request: &Request) -> Result<AddResult> {
        add::add(request)
    }

    fn check(request: &Request) -> Result<()> {
        check::check(request)
    }

    fn del(request: &Request) -> Result<()> {
        del::del(request)
    }

    fn undo_add(request: &Request, _: &AddResult) -> Result<()> {
        del::undo_add(request)
    }

    fn gc(request: &Request) -> Result<()> {
        gc::gc(request)
    }

    fn status(request: &Request) -> Result<()> {
        status::status(request)
    }
}
