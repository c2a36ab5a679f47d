//! `weir ipam audit`.

use std::process::ExitCode;

use node::Addresses;
use serde_json::json;

use super::{Scope, report};
use crate::error::Error;
use crate::output;

/// The exit code when an audit finds a fault: neither success nor a failure of the command.
const FAULT_FOUND: u8 = 3;

/// Prints the reservations of the networks beside what is attached.
pub(super) fn audit(scope: &Scope, json: bool) -> Result<ExitCode, Error> {
    let addresses = scope.look()?;
    let Addresses { networks, unread, evidence } = &addresses;
    let failures: Vec<_> = unread.iter().chain(&evidence.failures).collect();
    let audits: Vec<_> = networks
        .iter()
        .map(|network| Ok((network, addresses.audit(network, scope.min_age())?)))
        .collect::<node::Result<_>>()?;
    let finds_fault = audits.iter().any(|(_, audit)| audit.finds_fault());
    let text = if json {
        let networks: Vec<_> =
            audits.iter().map(|(network, audit)| report::to_json(network, audit)).collect();
        let all = json!({"networks": networks, "failures": failures, "fault": finds_fault});
        serde_json::to_string_pretty(&all)? + "\n"
    } else {
        let mut text: String = audits.iter().map(|(network, audit)| report::text(network, audit)).collect();
        for failure in &failures {
            text.push_str(&format!("not everything could be looked at: {failure}\n"));
        }
        if !evidence.is_complete() {
            text.push_str(
                "no address is called leaked: that takes a complete view of the node, and libcni's cached results\n",
            );
        }
        let idle = audits.iter().map(|(_, audit)| audit.idle()).sum();
        text + &conclusion(networks.len(), finds_fault, failures.is_empty(), idle)
    };
    output::print(&text)?;
    Ok(match (finds_fault, failures.is_empty()) {
        (true, _) => ExitCode::from(FAULT_FOUND),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::FAILURE,
    })
}

/// The last line, after a line about idle addresses.
fn conclusion(networks: usize, finds_fault: bool, can_tell: bool, idle: usize) -> String {
    let hint = match idle {
        0 => String::new(),
        idle => format!(
            "{idle} held in network namespaces without a process: pods between two starts, or namespaces that a \
             runtime left behind\n"
        ),
    };
    let last = match (finds_fault, can_tell, networks, idle) {
        (true, ..) => "something is wrong",
        (false, true, 0, _) => "no network here: no configuration has host-local, and nothing is reserved",
        (false, true, _, 0) => "nothing is wrong",
        (false, true, ..) => "nothing is certain to be wrong",
        (false, false, ..) => "no fault found, but not everything could be looked at",
    };
    format!("{hint}{last}\n")
}
