//! `weir ipam`: what `host-local` holds on this node, and what of it nobody uses.

mod audit;
mod networks;
mod reclaim;
mod release;
mod report;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use networks::Networks;

/// Exit code when an audit finds something wrong: neither success nor a failure of the command.
const FAULT_FOUND: u8 = 3;

/// The commands of `weir ipam`.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Compare what is reserved with what is attached: interfaces and addresses in the network namespaces that
    /// exist, and the results that runtimes keep.
    ///
    /// Exit code 0 when nothing is leaked, torn or duplicated, 3 when something is, 1 when it cannot be told. What is
    /// idle (held in a network namespace without a process) is listed, and counts for neither.
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
    /// Give back what the audit calls leaked or torn; shows what it would do, and does it with --yes.
    Reclaim {
        #[command(flatten)]
        scope: Scope,
        /// Do it.
        #[arg(long)]
        yes: bool,
        /// Only show it, as without --yes.
        #[arg(long, hide = true, conflicts_with = "yes")]
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
    /// Folder with the runtime's network configurations, which tell ranges and dataDir; /etc/cni/net.d, if there is
    /// one, when absent.
    #[arg(long, value_name = "FOLDER")]
    conf_dir: Option<PathBuf>,
    /// Folder with the reservations of networks that no configuration describes; /var/lib/cni/networks, if there is
    /// one, when absent.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
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
    fn networks(&self) -> Result<Networks, Error> {
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
    Store { network: String, source: Box<cni::Failure> },
    #[error("network {network}: nothing is reserved for {what}")]
    NothingReserved { network: String, what: String },
    #[error(
        "{address} is in use ({place}); detach the container instead, and its DEL gives the address back"
    )]
    InUse { address: std::net::IpAddr, place: String },
    #[error("{address} has just been reserved; look again before you release it")]
    JustReserved { address: std::net::IpAddr },
    #[error("cannot read folder {}: {source}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("cannot print: {0}")]
    Json(#[from] serde_json::Error),
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

/// Runs a command of `weir ipam`.
pub(crate) fn run(command: Command) -> Result<ExitCode, Error> {
    match command {
        Command::Audit { scope, json } => audit::audit(&scope, json),
        Command::Release { network, chosen, yes, places } => {
            release::release(&network, &chosen, yes, &places).map(|()| ExitCode::SUCCESS)
        }
        Command::Reclaim { scope, yes, dry_run: _ } => {
            reclaim::reclaim(&scope, yes).map(|()| ExitCode::SUCCESS)
        }
    }
}
