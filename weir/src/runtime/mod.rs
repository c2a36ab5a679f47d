//! A small container runtime: it does with a conflist what libcni and containerd do, for one namespace.
//!
//! Plugins run in the list's order for ADD and CHECK and in reverse for DEL. Each result is the next plugin's
//! `prevResult`, the first error stops, and the last result is cached for CHECK and DEL.

mod annotations;
mod cache;
mod conflist;
mod execute;
mod options;

use cni::Variables;
use serde_json::{Map, Value};

pub(crate) use options::Options;

use crate::error::Error;
use crate::output;

use cache::Cached;
use conflist::{Conflist, type_of};

/// Runs ADD of every plugin and prints the last result. When anything fails after the first ADD, also the printing, the
/// namespace is detached again, as a runtime does, and the first error is returned.
pub(crate) fn attach(options: &Options) -> Result<(), Error> {
    let conflist = Conflist::read(&options.conflist)?;
    let (offers, variables) = (options.offers()?, options.variables()?);
    let path = cache::path(&options.cache, &conflist.name, &variables);
    if Cached::read(&path)?.is_some() {
        return Err(Error::Other(format!(
            "container {} is attached to network {} by {} already; detach it first",
            variables.container_id, conflist.name, variables.interface
        )));
    }
    for plugin in &conflist.plugins {
        execute::find(plugin, &variables)?;
    }
    let mut cached = Cached { result: Value::Null, offers };
    let attached = add(&conflist, &variables, &mut cached)
        .and_then(|()| cached.write(&path, &conflist.name, &variables));
    if let Err(error) = attached {
        undo(&conflist, &variables, &cached.offers, None);
        return Err(error);
    }
    if let Err(error) = output::deliver(&format!("{:#}\n", cached.result)) {
        // The result of a failed detach stays, so that `weir detach` can try again.
        if undo(&conflist, &variables, &cached.offers, Some(&cached.result)) {
            Cached::forget(&path)?;
        }
        return Err(Error::Other(format!("cannot print the result, so the attachment was undone: {error}")));
    }
    Ok(())
}

fn add(conflist: &Conflist, variables: &Variables, cached: &mut Cached) -> Result<(), Error> {
    let mut result = None;
    for plugin in &conflist.plugins {
        let config = conflist.config_of(plugin, &cached.offers, result.as_ref());
        let answer = execute::run("ADD", plugin, &config, variables)?;
        let missing = || Error::Other(format!("plugin {} printed no result", type_of(plugin)));
        result = Some(answer.ok_or_else(missing)?);
    }
    cached.result = result.unwrap_or_default();
    Ok(())
}

/// Runs CHECK of every plugin against the cached result; a list with `disableCheck` is not checked.
pub(crate) fn check(options: &Options) -> Result<(), Error> {
    let conflist = Conflist::read(&options.conflist)?;
    let network = &conflist.name;
    if conflist.disables_check {
        return output::print(&format!("{network}: disableCheck is set, nothing was checked\n"));
    }
    let variables = options.variables()?;
    let container = &variables.container_id;
    let cached = Cached::read(&cache::path(&options.cache, network, &variables))?.ok_or_else(|| {
        Error::Other(format!("container {container} is not attached to network {network} (by weir attach)"))
    })?;
    for plugin in &conflist.plugins {
        let config = conflist.config_of(plugin, &cached.offers, Some(&cached.result));
        execute::run("CHECK", plugin, &config, &variables)?;
    }
    output::print(&format!("{network}: attachment of container {container} is as it should be\n"))
}

/// Runs DEL of every plugin in reverse order, with the cached result if there is one. The first error stops.
pub(crate) fn detach(options: &Options) -> Result<(), Error> {
    let conflist = Conflist::read(&options.conflist)?;
    let variables = options.variables()?;
    let path = cache::path(&options.cache, &conflist.name, &variables);
    let (offers, result) = match Cached::read(&path)? {
        Some(cached) => (cached.offers, Some(cached.result)),
        None => (options.offers()?, None),
    };
    del(&conflist, &variables, &offers, result.as_ref()).collect::<Result<(), _>>()?;
    Cached::forget(&path)
}

/// Runs DEL of every plugin in reverse order, goes on after errors, and tells whether there was none.
fn undo(
    conflist: &Conflist,
    variables: &Variables,
    offers: &Map<String, Value>,
    result: Option<&Value>,
) -> bool {
    let mut is_undone = true;
    for error in del(conflist, variables, offers, result).filter_map(Result::err) {
        cni::note(format_args!("weir: cannot undo the failed attach: {error}"));
        is_undone = false;
    }
    is_undone
}

/// Runs DEL of a plugin with each step, the last plugin first.
fn del(
    conflist: &Conflist,
    variables: &Variables,
    offers: &Map<String, Value>,
    result: Option<&Value>,
) -> impl Iterator<Item = Result<(), Error>> {
    let result = result.filter(|_| conflist.has_prev_result_for_del());
    conflist.plugins.iter().rev().map(move |plugin| {
        let config = conflist.config_of(plugin, offers, result);
        execute::run("DEL", plugin, &config, variables).map(drop)
    })
}
