//! `weir list`: the attachments of this node, as the kernel has them now.
//!
//! There is no file of the list's own: the pairs say whose they are, the kernel tells the rest. What runtimes keep
//! adds only whose a pair of other plugins is.

mod error;
mod json;
mod listed;
mod table;

pub(crate) use error::Error;

use std::process::ExitCode;

use clap::Args;
use linux::Rtnetlink;

use crate::attached::{Pods, Target};
use crate::output;

#[derive(Args)]
pub(crate) struct Options {
    /// A pod as NAMESPACE/NAME, a container ID (or its beginning), or an interface of the host; everything that is
    /// attached when absent.
    target: Option<String>,
    /// Only what is attached to this network.
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints the attachments, and on standard error what could not be looked at.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Error> {
    let mut host = Rtnetlink::open()?;
    let pods = Pods::read();
    let target = options.target.as_deref().map(Target::new);
    let (listed, failures) = listed::look(&mut host, &pods, target.as_ref(), options.network.as_deref())?;
    let text = if options.json { json::render(&listed)? } else { table::render(&listed) };
    output::print(&text).map_err(Error::Print)?;
    for failure in &pods.failures {
        cni::note(format_args!(
            "weir: {failure}; pods of other plugins may be missing or without their names"
        ));
    }
    report(&failures);
    let is_complete = pods.failures.is_empty() && failures.is_empty();
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says each failure, but once what all pairs have in common.
fn report(failures: &[linux::Error]) {
    let denied = failures.iter().filter(|failure| failure.is_denied()).count();
    if denied > 0 {
        cni::note(format_args!(
            "weir: the pods' ends cannot be looked at (pairs: {denied}): only root may see their MAC, MTU and addresses"
        ));
    }
    for failure in failures.iter().filter(|failure| !failure.is_denied()) {
        cni::note(format_args!("weir: {failure}"));
    }
}
