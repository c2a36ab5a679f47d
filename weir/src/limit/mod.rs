//! `weir limit`: shows and sets the limits of running pods.

mod change;
mod error;
mod options;
mod prometheus;
mod table;
mod watch;

pub(crate) use error::Error;
pub(crate) use options::Options;

use std::process::ExitCode;

use bandwidth::Pair;
use linux::Rtnetlink;

use crate::attached::{self, Pods, Target, json};
use crate::output;
use crate::write_file::write_file;

/// The exit code when a limit that is shown is not in effect.
const NOT_IN_EFFECT: u8 = 3;
/// Stands for standard output where a file is asked for.
const STANDARD_OUTPUT: &str = "-";

/// Does what the options ask for: changes a limit, then shows one, all, or all again and again.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Error> {
    let target = options.target()?.map(Target::new);
    if options.changes_something() {
        let target = target.as_ref().ok_or(Error::NoTarget)?;
        change::change(target, options)?;
    }
    if let Some(period) = options.watch() {
        let look = || limited(target.as_ref()).and_then(|limited| show(target.as_ref(), &limited, options));
        return watch::watch(period, look).map(|()| ExitCode::SUCCESS);
    }
    let limited = limited(target.as_ref())?;
    output::print(&show(target.as_ref(), &limited, options)?).map_err(Error::Print)?;
    let in_effect = limited.iter().all(Pair::is_in_effect);
    Ok(if in_effect { ExitCode::SUCCESS } else { ExitCode::from(NOT_IN_EFFECT) })
}

/// One look at the node, as text; with `--prometheus` also as a file.
fn show(target: Option<&Target>, limited: &[Pair], options: &Options) -> Result<String, Error> {
    if let Some(file) = &options.prometheus {
        let text = prometheus::render(limited);
        if file.as_os_str() == STANDARD_OUTPUT {
            return if options.json { Err(Error::TwoFormats) } else { Ok(text) };
        }
        write_file(file, text.as_bytes()).map_err(|source| Error::Write { path: file.clone(), source })?;
        if !options.json && options.watch().is_none() && target.is_none() {
            return Ok(String::new());
        }
    }
    if options.json {
        return Ok(json::list(&limited.iter().map(json::pair).collect::<Vec<_>>())?);
    }
    Ok(table::render(limited))
}

/// The limited pairs of this namespace, or those of them that the target names.
fn limited(target: Option<&Target>) -> Result<Vec<Pair>, Error> {
    let mut host = Rtnetlink::open()?;
    let pods = Pods::read();
    let mut pairs = match target {
        None => attached::pairs(&mut host, &pods)?,
        // One that exists but is not limited is no error: there is nothing to show.
        Some(target) => attached::find(&mut host, &pods, target)?,
    };
    pairs.retain(Pair::is_limited);
    Ok(pairs)
}
