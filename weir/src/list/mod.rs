//! `weir list`: the attachments of this node, as the kernel has them now.

mod table;

use std::process::ExitCode;

use clap::Args;
use node::{Attachments, Node, Target};

use crate::error::Error;
use crate::{json, output};

#[derive(Args)]
pub(crate) struct Options {
    /// A pod as NAMESPACE/NAME, a container ID (or its beginning), or a host interface; all attachments when absent.
    target: Option<String>,
    /// Only the attachments to this network.
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints the attachments, and on standard error what could not be looked at.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Error> {
    let mut node = Node::open()?;
    let target = options.target.as_deref().map(Target::new);
    let Attachments { attachments, failures } =
        node.attachments(target.as_ref(), options.network.as_deref())?;
    let text = match options.json {
        true => json::list(attachments.iter().map(json::attachment))?,
        false => table::render(&attachments),
    };
    output::print(&text)?;
    for failure in node.unread() {
        cni::note(format_args!(
            "weir: {failure}; pods of other plugins may be missing or without their names"
        ));
    }
    report(&failures);
    let is_complete = node.unread().is_empty() && failures.is_empty();
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Notes each failure, and those for want of root only once.
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
