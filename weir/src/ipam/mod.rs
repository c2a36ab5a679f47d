//! `weir ipam`: the addresses that `host-local` holds on this node, audited and released.

mod audit;
mod reclaim;
mod release;
mod report;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use node::{Addresses, Folders, Wanted};

use crate::error::Error;

/// The commands of `weir ipam`.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Compare the reservations with what is attached: interfaces and addresses in the network namespaces of this
    /// node, and the results that runtimes cache.
    ///
    /// Exit code 0 when nothing is leaked, torn or duplicated, 3 when something is, 1 when that is unknown. Idle
    /// addresses (held in a network namespace without a process) are listed, and do not change the exit code.
    Audit {
        #[command(flatten)]
        scope: Scope,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Release addresses, chosen by address or container; shows them, and releases them with --yes.
    ///
    /// An address that is in use stays reserved.
    Release {
        /// The network's name.
        network: String,
        #[command(flatten)]
        chosen: Chosen,
        /// Release them.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        places: Places,
    },
    /// Release the addresses that the audit calls leaked or torn; shows them, and releases them with --yes.
    Reclaim {
        #[command(flatten)]
        scope: Scope,
        /// Release them.
        #[arg(long)]
        yes: bool,
        /// Only show them, as without --yes.
        #[arg(long, hide = true, conflicts_with = "yes")]
        dry_run: bool,
    },
}

/// The networks to look at, and how old a leak is.
#[derive(Args)]
pub(crate) struct Scope {
    /// The network's name; all networks of this node when absent.
    network: Option<String>,
    /// A reservation that is younger may belong to an ADD that still runs, and is not called leaked.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    min_age: u64,
    #[command(flatten)]
    places: Places,
}

#[derive(Args)]
pub(crate) struct Places {
    /// Folder of the runtime's network configurations, which say ranges and dataDir; /etc/cni/net.d, if it exists, when
    /// absent.
    #[arg(long, value_name = "FOLDER")]
    conf_dir: Option<PathBuf>,
    /// Folder of the reservations of networks without a configuration; /var/lib/cni/networks, if it exists, when
    /// absent.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

/// The reservations to release.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Chosen {
    /// The address.
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// The container's ID.
    #[arg(long, value_name = "ID")]
    container: Option<String>,
}

impl Scope {
    fn look(&self) -> Result<Addresses, Error> {
        Ok(Addresses::look(&self.places.folders(), self.network.as_deref())?)
    }

    fn min_age(&self) -> Duration {
        Duration::from_secs(self.min_age)
    }
}

impl Places {
    fn folders(&self) -> Folders {
        Folders { conf_dir: self.conf_dir.clone(), data_dir: self.data_dir.clone() }
    }
}

impl Chosen {
    /// Exactly one of the options is given: clap sees to it.
    fn wanted(self) -> Wanted {
        let container = || Wanted::Container(self.container.unwrap_or_default());
        self.address.map_or_else(container, Wanted::Address)
    }
}

/// Runs a command of `weir ipam`.
pub(crate) fn run(command: Command) -> Result<ExitCode, Error> {
    match command {
        Command::Audit { scope, json } => audit::audit(&scope, json),
        Command::Release { network, chosen, yes, places } => {
            release::release(&network, &chosen.wanted(), yes, &places.folders())
        }
        Command::Reclaim { scope, yes, dry_run: _ } => reclaim::reclaim(&scope, yes),
    }
}
