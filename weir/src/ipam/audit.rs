//! `weir ipam audit`.

use std::process::ExitCode;

use host_local::{Audit, Evidence};
use serde_json::json;

use super::{Error, FAULT_FOUND, Scope, report};

/// Prints what is reserved and what is there of it.
pub(super) fn audit(scope: &Scope, json: bool) -> Result<ExitCode, Error> {
    let networks = scope.networks()?;
    let evidence = Evidence::gather();
    let can_tell = evidence.failures.is_empty();
    let mut finds_fault = false;
    let mut printed = Vec::new();
    for network in &networks {
        let audit = Audit::of(network, &evidence, scope.youth())
            .map_err(|source| Error::Store { network: network.name.clone(), source: Box::new(source) })?;
        finds_fault |= audit.finds_fault();
        if json {
            printed.push(report::to_json(network, &audit));
        } else {
            report::print(network, &audit);
        }
    }
    if json {
        let all = json!({"networks": printed, "failures": evidence.failures, "fault": finds_fault});
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else {
        for failure in &evidence.failures {
            println!("not everything could be looked at: {failure}");
        }
        if !evidence.is_complete() {
            println!(
                "nothing is called leaked: for that, everything must be seen, and libcni's results be kept here"
            );
        }
        println!(
            "{}",
            match (finds_fault, can_tell) {
                (true, _) => "something is wrong",
                (false, true) => "nothing is wrong",
                (false, false) => "nothing was seen to be wrong, but not everything was seen",
            }
        );
    }
    Ok(match (finds_fault, can_tell) {
        (true, _) => ExitCode::from(FAULT_FOUND),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::FAILURE,
    })
}
