//! `weir ipam audit`.

use std::process::ExitCode;

use host_local::{Audit, Evidence};
use serde_json::json;

use super::networks::Networks;
use super::{Error, FAULT_FOUND, Scope, report};
use crate::output;

/// Prints what is reserved and what is there of it.
pub(super) fn audit(scope: &Scope, json: bool) -> Result<ExitCode, Error> {
    let Networks { networks, unread } = scope.networks()?;
    let evidence = Evidence::gather();
    let failures: Vec<_> = unread.iter().chain(&evidence.failures).collect();
    let mut audits = Vec::with_capacity(networks.len());
    for network in &networks {
        let audit = Audit::of(network, &evidence, scope.youth())
            .map_err(|source| Error::Store { network: network.name.clone(), source: Box::new(source) })?;
        audits.push((network, audit));
    }
    let finds_fault = audits.iter().any(|(_, audit)| audit.finds_fault());
    if json {
        let networks: Vec<_> =
            audits.iter().map(|(network, audit)| report::to_json(network, audit)).collect();
        let all = json!({"networks": networks, "failures": failures, "fault": finds_fault});
        output::print(&(serde_json::to_string_pretty(&all)? + "\n"))?;
    } else {
        let mut text: String = audits.iter().map(|(network, audit)| report::text(network, audit)).collect();
        for failure in &failures {
            text.push_str(&format!("not everything could be looked at: {failure}\n"));
        }
        if !evidence.is_complete() {
            text.push_str(
                "nothing is called leaked: for that, everything must be seen, and libcni's results be kept here\n",
            );
        }
        let idle = audits.iter().map(|(_, audit)| audit.idle()).sum();
        text.push_str(&conclusion(networks.len(), finds_fault, failures.is_empty(), idle));
        output::print(&text)?;
    }
    Ok(match (finds_fault, failures.is_empty()) {
        (true, _) => ExitCode::from(FAULT_FOUND),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::FAILURE,
    })
}

/// The last line, after a line about what may be wrong.
fn conclusion(networks: usize, finds_fault: bool, can_tell: bool, idle: usize) -> String {
    let hint = match idle {
        0 => String::new(),
        idle => format!(
            "{idle} held in network namespaces without a process: pods between two starts, or namespaces that a runtime \
             left over\n"
        ),
    };
    let last = match (finds_fault, can_tell, networks, idle) {
        (true, ..) => "something is wrong",
        (false, true, 0, _) => "no network here: no configuration has host-local, and nothing is reserved",
        (false, true, _, 0) => "nothing is wrong",
        (false, true, ..) => "nothing is certain to be wrong",
        (false, false, ..) => "nothing was seen to be wrong, but not everything was seen",
    };
    format!("{hint}{last}\n")
}
