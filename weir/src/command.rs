//! The operator's command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::error::Error;
use crate::runtime::Attaching;
use crate::{PLUGINS, install, ipam, limit, list, runtime};

/// CNI plugins in one executable.
///
/// Called by the name of a plugin (loopback, bridge, host-local, static, bandwidth, or anything that ends in -NAME)
/// it is that plugin, driven by environment and standard input as the CNI specification says. Under its
/// own name it has the commands below.
#[derive(Parser)]
#[command(name = "weir", version)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Put this executable into a folder under the names of all plugins.
    ///
    /// A runtime that executes a plugin at that moment sees the old file or the new one, never a part.
    Install {
        /// The folder, such as /opt/cni/bin; made when it is missing.
        folder: PathBuf,
    },
    /// List the attachments of this node, as the kernel has them now.
    ///
    /// Exit code 0 when everything could be looked at, 1 otherwise.
    List(list::Options),
    /// Show the limits of running pods, or change those of one.
    ///
    /// A change takes effect at once, keeps what flows flowing, and lasts as long as the pod.
    ///
    /// Exit code 0 when all limits that are shown are in effect, 3 when one is not, 1 when something failed.
    Limit(limit::Options),
    /// Attach a network namespace by a conflist, as a container runtime does, and print the result.
    Attach(AttachmentOptions),
    /// Check an attachment that `attach` made.
    Check(AttachmentOptions),
    /// Detach what `attach` attached.
    Detach(AttachmentOptions),
    /// Look at the addresses that host-local holds, and give back what nobody uses.
    #[command(subcommand)]
    Ipam(ipam::Command),
}

#[derive(Args)]
struct AttachmentOptions {
    /// The network configuration list, a JSON file (*.conflist, or *.conf with a single plugin); - for standard input.
    #[arg(long, value_name = "FILE")]
    conflist: PathBuf,
    /// The network namespace, such as /var/run/netns/pod1; detach works without it.
    #[arg(long, value_name = "PATH", default_value = "")]
    netns: String,
    /// The container's ID.
    #[arg(long, value_name = "ID")]
    container_id: String,
    /// Name of the interface in the container.
    #[arg(long, value_name = "NAME", default_value = "eth0")]
    ifname: String,
    /// A pod annotation, such as kubernetes.io/egress-bandwidth=10M; may be given several times.
    #[arg(long = "annotation", value_name = "KEY=VALUE")]
    annotations: Vec<String>,
    /// A pair for CNI_ARGS, such as K8S_POD_NAME=web-0; may be given several times.
    #[arg(long = "arg", value_name = "KEY=VALUE")]
    arguments: Vec<String>,
    /// A capability with its value, such as 'ips=["10.1.2.7"]'; may be given several times.
    #[arg(long = "cap", value_name = "KEY=JSON")]
    capabilities: Vec<String>,
    /// Folders with plugins, separated by colons; CNI_PATH or else the folder of this executable when absent.
    #[arg(long, value_name = "FOLDERS")]
    cni_path: Option<String>,
    /// Where results are kept between attach and detach.
    #[arg(long, value_name = "FOLDER", default_value = cni::OWN_RESULTS)]
    cache: PathBuf,
}

impl From<AttachmentOptions> for Attaching {
    fn from(options: AttachmentOptions) -> Self {
        Self {
            conflist: options.conflist,
            netns: options.netns,
            container_id: options.container_id,
            interface: options.ifname,
            annotations: options.annotations,
            arguments: options.arguments,
            capabilities: options.capabilities,
            path: options.cni_path,
            cache: options.cache,
        }
    }
}

/// Runs the command that the operator gave.
pub(crate) fn run() -> ExitCode {
    dispatch(CommandLine::parse().command).unwrap_or_else(|error| {
        cni::note(format_args!("weir: {error}"));
        ExitCode::FAILURE
    })
}

fn dispatch(command: Command) -> Result<ExitCode, Error> {
    match command {
        Command::Install { folder } => install::install(&folder, PLUGINS)?,
        Command::List(options) => return list::run(&options),
        Command::Limit(options) => return limit::run(&options),
        Command::Attach(options) => runtime::attach(options.into())?,
        Command::Check(options) => runtime::check(options.into())?,
        Command::Detach(options) => runtime::detach(options.into())?,
        Command::Ipam(command) => return ipam::run(command),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::CommandLine;

    fn check(command: &Command) {
        for argument in command.get_arguments().filter(|argument| !argument.is_positional()) {
            let may_be_alone =
                argument.get_num_args().is_some_and(|range| range.min_values() == 0 && range.takes_values());
            // What follows --watch is told apart from a target by its shape.
            let is_told_apart = argument.get_long() == Some("watch");
            assert!(
                !may_be_alone || is_told_apart || argument.is_require_equals_set(),
                "{argument} of {} takes a following positional argument for its value",
                command.get_name()
            );
        }
        command.get_subcommands().for_each(check);
    }

    #[test]
    fn no_option_swallows_the_word_after_it() {
        let mut command = CommandLine::command();
        command.build();
        check(&command);
    }
}
