//! `weir limit`: shows and sets the limits of running pods.

mod base64;
mod change;
mod error;
mod human;
mod json;
mod options;
mod pods;
mod prometheus;
mod table;
mod target;
mod watch;

pub(crate) use error::Error;
pub(crate) use options::Options;

use std::io::{ErrorKind, Write};

use bandwidth::Shaped;
use linux::Rtnetlink;

use pods::Pods;
use target::Target;

/// Does what the options ask for: changes a limit, then shows one, all, or all again and again.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let target = options.target.as_deref().map(Target::new);
    if options.changes_something() {
        let target = target.as_ref().ok_or(Error::NoTarget)?;
        change::change(target, options)?;
    }
    if let Some(period) = options.watch {
        return watch::watch(period, || show(target.as_ref(), options));
    }
    let text = show(target.as_ref(), options)?;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // Who reads decides how much.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Error::Print),
    }
}

/// One look at the node, as text; with `--prometheus` also as a file.
fn show(target: Option<&Target>, options: &Options) -> Result<String, Error> {
    let shaped = shaped(target)?;
    if let Some(file) = &options.prometheus {
        prometheus::write(file, &shaped)?;
        if !options.json && options.watch.is_none() && target.is_none() {
            return Ok(String::new());
        }
    }
    if options.json { json::render(&shaped) } else { Ok(table::render(&shaped)) }
}

/// The shaped attachments of this namespace, or those that the target names.
fn shaped(target: Option<&Target>) -> Result<Vec<Shaped>, Error> {
    let mut host = Rtnetlink::open()?;
    let pods = Pods::read();
    let mut shaped = bandwidth::shaped(&mut host)?;
    for each in &mut shaped {
        each.attachment = pods.identify(&each.host_end, each.attachment.take());
    }
    let Some(target) = target else { return Ok(shaped) };
    // A target that exists but is not limited is no error: there is nothing to show.
    let known = target::find(&mut host, &pods, target)?;
    shaped.retain(|each| known.iter().any(|pod| pod.host_end.index == each.host_end.index));
    Ok(shaped)
}
