//! `weir ipam reclaim`.

use std::process::ExitCode;

use node::State;

use super::{Scope, report};
use crate::error::Error;
use crate::output;

/// Shows what is leaked or torn in the networks; releases it with `yes`.
pub(super) fn reclaim(scope: &Scope, yes: bool) -> Result<ExitCode, Error> {
    let addresses = scope.look()?;
    for failure in &addresses.unread {
        cni::note(format_args!("weir: not everything could be looked at: {failure}"));
    }
    for failure in &addresses.evidence.failures {
        cni::note(format_args!(
            "weir: nothing is called leaked, because not everything could be looked at: {failure}"
        ));
    }
    for network in &addresses.networks {
        let mut lost = addresses.audit(network, scope.min_age())?.reservations;
        lost.retain(|reserved| matches!(reserved.state, State::Leaked | State::Corrupt));
        let lines = lost.iter().map(|reserved| format!("{}: {}\n", network.name, report::sentence(reserved)));
        // The addresses are shown before they are released: what cannot be shown stays.
        output::print(&lines.collect::<String>())?;
        let count = if yes { node::release(network, &lost)? } else { lost.len() };
        let done = format!("{}: {}\n", network.name, report::released(count, yes));
        output::print(&done)?;
    }
    Ok(ExitCode::SUCCESS)
}
