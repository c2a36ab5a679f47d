//! A small container runtime: it does with a conflist what libcni and containerd do, for one namespace.
//!
//! Plugins run in the list's order for ADD and CHECK and in reverse for DEL. Each result is the next plugin's `prevResult`,
//! the first error stops, and the last result is cached for CHECK and DEL.

mod annotations;
mod cache;
mod conflist;
mod error;
mod execute;
mod options;

use serde_json::{Map, Value};

pub(crate) use error::Error;
pub(crate) use options::Options;

use crate::output;

use cache::Cached;
use conflist::{Conflist, type_of};
use execute::Execution;

/// Runs ADD of every plugin and prints the last result. When anything fails after the first ADD, also the printing, the
/// namespace is detached again, as a runtime does, and the first error is returned.
pub(crate) fn attach(options: &Options) -> Result<(), Error> {
    let conflist = Conflist::read(&options.conflist)?;
    let (offers, execution) = (options.offers()?, options.execution()?);
    if Cached::read(&options.cache, &conflist.name, &execution)?.is_some() {
        return Err(Error::AlreadyAttached {
            network: conflist.name,
            container: execution.container_id,
            interface: execution.interface,
        });
    }
    for plugin in &conflist.plugins {
        execution.find(plugin)?;
    }
    let mut cached = Cached { result: Value::Null, offers };
    let attached = add(&conflist, &execution, &mut cached)
        .and_then(|()| cached.write(&options.cache, &conflist.name, &execution));
    if let Err(error) = attached {
        undo(&conflist, &execution, &cached.offers, None);
        return Err(error);
    }
    if let Err(source) = output::deliver(&format!("{:#}\n", cached.result)) {
        // The result of a failed detach stays, so that `weir detach` can try again.
        if undo(&conflist, &execution, &cached.offers, Some(&cached.result)) {
            Cached::forget(&options.cache, &conflist.name, &execution)?;
        }
        return Err(Error::Undelivered(source));
    }
    Ok(())
}

/// Runs DEL of every plugin in reverse order, goes on after errors, and tells whether there was none.
fn undo(
    conflist: &Conflist,
    execution: &Execution,
    offers: &Map<String, Value>,
    result: Option<&Value>,
) -> bool {
    let result = result.filter(|_| conflist.has_prev_result_for_del());
    let mut is_undone = true;
    for plugin in conflist.plugins.iter().rev() {
        let config = conflist.config_of(plugin, offers, result);
        if let Err(second) = execution.run("DEL", plugin, &config) {
            cni::note(format_args!("weir: cannot undo the failed attach: {second}"));
            is_undone = false;
        }
    }
    is_undone
}

fn add(conflist: &Conflist, execution: &Execution, cached: &mut Cached) -> Result<(), Error> {
    let mut result = None;
    for plugin in &conflist.plugins {
        let config = conflist.config_of(plugin, &cached.offers, result.as_ref());
        let answer = execution.run("ADD", plugin, &config)?;
        let answer = answer.ok_or_else(|| Error::NoResult { plugin: type_of(plugin).to_owned() })?;
        result = Some(answer);
    }
    cached.result = result.unwrap_or_default();
    Ok(())
}

/// Runs CHECK of every plugin against the cached result; a list with `disableCheck` is not checked.
pub(crate) fn check(options: &Options) -> Result<(), Error> {
    let conflist = Conflist::read(&options.conflist)?;
    if conflist.disables_check {
        let said = format!("{}: disableCheck is set, nothing was checked\n", conflist.name);
        return output::print(&said).map_err(Error::Print);
    }
    let execution = options.execution()?;
    let cached = Cached::read(&options.cache, &conflist.name, &execution)?.ok_or_else(|| {
        Error::NotAttached { network: conflist.name.clone(), container: execution.container_id.clone() }
    })?;
    for plugin in &conflist.plugins {
        let config = conflist.config_of(plugin, &cached.offers, Some(&cached.result));
        execution.run("CHECK", plugin, &config)?;
    }
    let container = &execution.container_id;
    let said = format!("{}: attachment of container {container} is as it should be\n", conflist.name);
    output::print(&said).map_err(Error::Print)
}

/// Runs DEL of every plugin in reverse order, with the cached result if there is one.
pub(crate) fn detach(options: &Options) -> Result<(), Error> {
    let conflist = Conflist::read(&options.conflist)?;
    let execution = options.execution()?;
    let cached = Cached::read(&options.cache, &conflist.name, &execution)?;
    let (offers, result) = match cached {
        Some(cached) => (cached.offers, Some(cached.result)),
        None => (options.offers()?, None),
    };
    remove(&conflist, &offers, &execution, result.as_ref())?;
    Cached::forget(&options.cache, &conflist.name, &execution)
}

fn remove(
    conflist: &Conflist,
    offers: &Map<String, Value>,
    execution: &Execution,
    result: Option<&Value>,
) -> Result<(), Error> {
    let result = result.filter(|_| conflist.has_prev_result_for_del());
    for plugin in conflist.plugins.iter().rev() {
        let config = conflist.config_of(plugin, offers, result);
        execution.run("DEL", plugin, &config)?;
    }
    Ok(())
}
