//! `weir limit`: shows and sets the limits of running pods.

mod options;
mod prometheus;
mod table;
mod watch;

pub(crate) use options::Options;

use std::process::ExitCode;

use node::{LimitChange, Node, Pair, Target};

use crate::error::Error;
use crate::write_file::write_file;
use crate::{json, output};

/// The exit code when a limit that is shown is not in effect.
const NOT_IN_EFFECT: u8 = 3;
/// Stands for standard output where a file is asked for.
const STANDARD_OUTPUT: &str = "-";

/// Changes a limit if the options ask for it, then shows the limits, once or again and again.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Error> {
    let target = options.target()?.map(Target::new);
    if options.changes_something() {
        change(target.as_ref(), options)?;
    }
    let look = || Ok::<_, Error>(Node::open()?.limited(target.as_ref())?);
    if let Some(period) = options.watch() {
        return watch::watch(period, || show(target.as_ref(), &look()?, options)).map(|()| ExitCode::SUCCESS);
    }
    let limited = look()?;
    output::print(&show(target.as_ref(), &limited, options)?)?;
    let in_effect = limited.iter().all(Pair::is_in_effect);
    Ok(if in_effect { ExitCode::SUCCESS } else { ExitCode::from(NOT_IN_EFFECT) })
}

/// Changes the limits of the target, and notes on standard error what was done.
fn change(target: Option<&Target>, options: &Options) -> Result<(), Error> {
    let target = target.ok_or_else(|| {
        Error::Other("name the pod to limit: NAMESPACE/POD, a container ID or a host interface".to_owned())
    })?;
    let [ingress, egress] = options.changes()?;
    let LimitChange { host_interface, is_changed } = node::change_limits(target, ingress, egress)?;
    let done = if is_changed { "changed the limits" } else { "the limits are as asked already" };
    cni::note(format_args!("weir: {target} ({host_interface}): {done}"));
    Ok(())
}

/// Renders the limits; with `--prometheus` also into a file.
fn show(target: Option<&Target>, limited: &[Pair], options: &Options) -> Result<String, Error> {
    if let Some(file) = &options.prometheus {
        let text = prometheus::render(&node::limit_metrics(limited));
        if file.as_os_str() == STANDARD_OUTPUT {
            return match options.json {
                true => Err(Error::Other(
                    "--json and --prometheus - both write to standard output; choose one".to_owned(),
                )),
                false => Ok(text),
            };
        }
        write_file(file, text.as_bytes()).map_err(Error::file("write", file))?;
        if !options.json && options.watch().is_none() && target.is_none() {
            return Ok(String::new());
        }
    }
    Ok(match options.json {
        true => json::list(limited.iter().map(json::pair))?,
        false => table::render(limited),
    })
}
