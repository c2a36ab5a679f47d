//! `weir ipam release`.

use std::process::ExitCode;

use node::{Addresses, Folders, Wanted};

use super::report;
use crate::error::Error;
use crate::output;

/// Shows what is reserved for the address or the container; releases it with `yes`, unless any of it is in use.
pub(super) fn release(name: &str, wanted: &Wanted, yes: bool, folders: &Folders) -> Result<ExitCode, Error> {
    let addresses = Addresses::look(folders, Some(name))?;
    let mut count = 0;
    for network in &addresses.networks {
        let found = addresses.releasable(network, wanted)?;
        let lines = found.iter().map(|reserved| report::sentence(reserved) + "\n");
        // The addresses are shown before they are released: what cannot be shown stays.
        output::print(&lines.collect::<String>())?;
        count += if yes { node::release(network, &found)? } else { found.len() };
    }
    if count == 0 {
        return Err(Error::Other(format!("network {name}: nothing is reserved for {wanted}")));
    }
    output::print(&(report::released(count, yes) + "\n"))?;
    Ok(ExitCode::SUCCESS)
}
