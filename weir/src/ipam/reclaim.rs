//! `weir ipam reclaim`.

use host_local::{Audit, Evidence, State};

use super::{Error, Scope, report};

/// Gives back what is leaked or torn in the networks.
pub(super) fn reclaim(scope: &Scope, dry_run: bool) -> Result<(), Error> {
    let networks = scope.networks()?;
    let evidence = Evidence::gather();
    for failure in &evidence.failures {
        eprintln!("weir: nothing is called leaked, because not everything could be looked at: {failure}");
    }
    for network in &networks {
        let failed = |source| Error::Store { network: network.name.clone(), source: Box::new(source) };
        let audit = Audit::of(network, &evidence, scope.youth()).map_err(failed)?;
        let is_lost = |state: State| matches!(state, State::Leaked | State::Torn);
        let lost: Vec<_> = audit.reservations.iter().filter(|reserved| is_lost(reserved.state)).collect();
        for reserved in &lost {
            println!("{}: {}", network.name, report::sentence(reserved));
        }
        if dry_run {
            println!("{}: would give back {}", network.name, lost.len());
            continue;
        }
        let released = network.release(&lost).map_err(failed)?;
        println!("{}: gave back {}", network.name, released.len());
    }
    Ok(())
}
