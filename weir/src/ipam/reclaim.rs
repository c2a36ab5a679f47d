//! `weir ipam reclaim`.

use host_local::{Audit, Evidence, State};

use super::networks::Networks;
use super::{Error, Scope, report};
use crate::output;

/// Shows what is leaked or torn in the networks; gives it back with `yes`.
pub(super) fn reclaim(scope: &Scope, yes: bool) -> Result<(), Error> {
    let Networks { networks, unread } = scope.networks()?;
    for failure in &unread {
        cni::note(format_args!("weir: not everything could be looked at: {failure}"));
    }
    let evidence = Evidence::gather();
    for failure in &evidence.failures {
        cni::note(format_args!(
            "weir: nothing is called leaked, because not everything could be looked at: {failure}"
        ));
    }
    for network in &networks {
        let failed = |source| Error::Store { network: network.name.clone(), source: Box::new(source) };
        let audit = Audit::of(network, &evidence, scope.youth()).map_err(failed)?;
        let is_lost = |state: State| matches!(state, State::Leaked | State::Torn);
        let lost: Vec<_> = audit.reservations.iter().filter(|reserved| is_lost(reserved.state)).collect();
        let lines = lost.iter().map(|reserved| format!("{}: {}\n", network.name, report::sentence(reserved)));
        // What cannot be shown is not done.
        output::print(&lines.collect::<String>())?;
        let count = if yes { network.release(&lost).map_err(failed)?.len() } else { lost.len() };
        output::print(&format!("{}: {}\n", network.name, report::given_back(count, yes)))?;
    }
    Ok(())
}
