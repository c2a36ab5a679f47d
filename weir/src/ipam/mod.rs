//! `weir ipam`: what `host-local` holds on this node, and what of it nobody uses.

mod audit;
mod networks;
mod reclaim;
mod release;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use host_local::Network;

/// Exit code when an audit finds something wrong: neither success nor a failure of the command.
const FAULT_FOUND: u8 = 3;

/// The commands of `weir ipam`.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Compare what is reserved with what is attached: interfaces and addresses in the network namespaces that
    /// exist, and the results that runtimes keep.
    ///
    /// Exit code 0 when nothing is leaked, torn or duplicated, 3 when something is, 1 when it cannot be told.
    Audit {
        #[command(flatten)]
        scope: Scope,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give addresses back, chosen by address or container; shows what it would do, and does it with --yes.
    ///
    /// What an interface carries stays reserved.
    Release {
        /// The network's name.
        network: String,
        #[command(flatten)]
        chosen: Chosen,
        /// Do it.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        places: Places,
    },
    /// Give back what the audit calls leaked or torn.
    Reclaim {
        #[command(flatten)]
        scope: Scope,
        /// Only show what it would do.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Which networks, and what counts as young.
#[derive(Args)]
pub(crate) struct Scope {
    /// The network's name; all networks of this node when absent.
    network: Option<String>,
    /// Reservations that are younger may be of an ADD at work: they are not called leaked.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    min_age: u64,
    #[command(flatten)]
    places: Places,
}

/// Where networks are described and their reservations kept.
#[derive(Args)]
pub(crate) struct Places {
    /// Folder with the runtime's network configurations, which tell ranges and dataDir.
    #[arg(long, value_name = "FOLDER", default_value = "/etc/cni/net.d")]
    conf_dir: PathBuf,
    /// Folder with the reservations of networks that no configuration describes.
    #[arg(long, value_name = "FOLDER", default_value = "/var/lib/cni/networks")]
    data_dir: PathBuf,
}

/// What to release.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Chosen {
    /// The address.
    #[arg(long, value_name = "ADDRESS")]
    address: Option<std::net::IpAddr>,
    /// The container's ID.
    #[arg(long, value_name = "ID")]
    container: Option<String>,
}

impl Scope {
    fn networks(&self) -> Result<Vec<Network>, Error> {
        networks::find(&self.places, self.network.as_deref())
    }

    fn youth(&self) -> Duration {
        Duration::from_secs(self.min_age)
    }
}

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no network {name:?}: neither a configuration in {} nor a folder in {}", conf_dir.display(), data_dir.display())]
    NoNetwork { name: String, conf_dir: PathBuf, data_dir: PathBuf },
    #[error("network {network}: {source}")]
    Store { network: String, source: Box<host_local::Error> },
    #[error("network {network}: nothing is reserved for {what}")]
    NothingReserved { network: String, what: String },
    #[error(
        "{address} is in use ({place}); detach the container instead, and its DEL gives the address back"
    )]
    InUse { address: std::net::IpAddr, place: String },
    #[error("{address} has just been reserved; look again before you release it")]
    JustReserved { address: std::net::IpAddr },
    #[error("cannot print: {0}")]
    Print(#[from] serde_json::Error),
}

/// Runs a command of `weir ipam`.
pub(crate) fn run(command: Command) -> Result<ExitCode, Error> {
    match command {
        Command::Audit { scope, json } => audit::audit(&scope, json),
        Command::Release { network, chosen, yes, places } => {
            release::release(&network, &chosen, yes, &places).map(|()| ExitCode::SUCCESS)
        }
        Command::Reclaim { scope, dry_run } => reclaim::reclaim(&scope, dry_run).map(|()| ExitCode::SUCCESS),
    }
}
