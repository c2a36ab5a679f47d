//! The operator's command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Error;
use crate::{PLUGINS, install, ipam, limit, list, runtime};

/// CNI plugins in one executable.
///
/// Called by the name of a plugin (bridge, host-local, ...), or by any name that ends in -PLUGIN, it is that plugin,
/// driven by environment and standard input as the CNI specification says. Called weir, it has the commands below.
#[derive(Parser)]
#[command(name = "weir", version)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install this executable in a folder under the names of all plugins.
    ///
    /// A runtime that executes a plugin meanwhile gets the old file or the new one, never a part.
    Install {
        /// The folder, such as /opt/cni/bin; created when it is missing.
        folder: PathBuf,
    },
    /// List the attachments of this node, as the kernel has them now.
    ///
    /// Exit code 0 when the list is complete, 1 otherwise.
    List(list::Options),
    /// Show the limits of running pods, or change those of one.
    ///
    /// A change takes effect at once, interrupts no connection, and lasts as long as the pod.
    ///
    /// Exit code 0 when all limits shown are in effect, 3 when one is not, 1 on an error.
    Limit(limit::Options),
    /// Attach a network namespace to the network of a conflist, as a container runtime does, and print the result.
    Attach(runtime::Options),
    /// Check an attachment that `attach` made.
    Check(runtime::Options),
    /// Detach a network namespace that `attach` attached.
    Detach(runtime::Options),
    /// Audit the addresses that host-local holds, and release unused ones.
    #[command(subcommand)]
    Ipam(ipam::Command),
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
        Command::Attach(options) => runtime::attach(&options)?,
        Command::Check(options) => runtime::check(&options)?,
        Command::Detach(options) => runtime::detach(&options)?,
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
            // The word after --watch is an interval or the target, by its shape.
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
