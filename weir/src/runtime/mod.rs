//! A small container runtime: what libcni and containerd do around a conflist, for one namespace.
//!
//! Plugins run in the list's order for ADD and CHECK and in reverse for DEL, each result is the next
//! plugin's `prevResult`, the first error stops, and the last result is kept for CHECK and DEL.

mod annotations;
mod cache;
mod conflist;
mod error;
mod execute;

use std::path::PathBuf;

use serde_json::{Map, Value};

pub(crate) use error::Error;

use crate::output;

use cache::Cached;
use conflist::{Conflist, type_of};
use execute::Execution;

/// What to attach, check or detach.
pub(crate) struct Attaching {
    /// File with the network configuration list.
    pub conflist: PathBuf,
    /// The network namespace's path; may be empty for detach.
    pub netns: String,
    /// The container's ID.
    pub container_id: String,
    /// Name of the interface in the container.
    pub interface: String,
    /// Pod annotations, `KEY=VALUE`.
    pub annotations: Vec<String>,
    /// Pairs of `CNI_ARGS`, `KEY=VALUE`.
    pub arguments: Vec<String>,
    /// Capabilities, `KEY=JSON`.
    pub capabilities: Vec<String>,
    /// `CNI_PATH`.
    pub path: Option<String>,
    /// Folder of the kept results.
    pub cache: PathBuf,
}

impl Attaching {
    /// What the runtime offers to plugins that declare the capability.
    fn offers(&self) -> Result<Map<String, Value>, Error> {
        let annotations = annotations::parse(&self.annotations)?;
        let mut offers = annotations::capabilities(&annotations)?;
        for pair in &self.capabilities {
            let (key, json) = pair.split_once('=').ok_or_else(|| Error::pair("--cap", pair))?;
            let value = serde_json::from_str(json)
                .map_err(|source| Error::Capability { key: key.to_owned(), source })?;
            offers.insert(key.to_owned(), value);
        }
        Ok(offers)
    }

    fn execution(&self) -> Result<Execution, Error> {
        if let Some(pair) = self.arguments.iter().find(|pair| !pair.contains('=')) {
            return Err(Error::pair("--arg", pair));
        }
        Ok(Execution {
            path: match &self.path {
                Some(path) => path.clone(),
                None => default_path()?,
            },
            container_id: self.container_id.clone(),
            netns: self.netns.clone(),
            interface: self.interface.clone(),
            arguments: self.arguments.join(";"),
        })
    }
}

/// `CNI_PATH` of the environment, or else the folder of this executable.
fn default_path() -> Result<String, Error> {
    if let Some(path) = std::env::var("CNI_PATH").ok().filter(|path| !path.is_empty()) {
        return Ok(path);
    }
    let own = std::env::current_exe().map_err(Error::OwnPath)?;
    Ok(own.parent().map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default())
}

/// ADD of every plugin; prints the last result. When anything fails after the first ADD, also the printing, the
/// namespace is detached again, as a runtime does, and the first error is reported.
pub(crate) fn attach(attaching: Attaching) -> Result<(), Error> {
    let conflist = Conflist::read(&attaching.conflist)?;
    let (offers, execution) = (attaching.offers()?, attaching.execution()?);
    if Cached::read(&attaching.cache, &conflist.name, &execution)?.is_some() {
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
        .and_then(|()| cached.write(&attaching.cache, &conflist.name, &execution));
    if let Err(error) = attached {
        undo(&conflist, &execution, &cached.offers, None);
        return Err(error);
    }
    if let Err(source) = output::deliver(&format!("{:#}\n", cached.result)) {
        // What could not be detached is kept, so that `weir detach` can go on.
        if undo(&conflist, &execution, &cached.offers, Some(&cached.result)) {
            Cached::forget(&attaching.cache, &conflist.name, &execution)?;
        }
        return Err(Error::Undelivered(source));
    }
    Ok(())
}

/// DEL of every plugin in reverse order, whatever fails; whether nothing did.
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
            cni::note(format_args!("weir: while detaching after the failed attach: {second}"));
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

/// CHECK of every plugin against the kept result; a list with `disableCheck` is not checked.
pub(crate) fn check(attaching: Attaching) -> Result<(), Error> {
    let conflist = Conflist::read(&attaching.conflist)?;
    if conflist.disables_check {
        let said = format!("{}: disableCheck is set, nothing was checked\n", conflist.name);
        return output::print(&said).map_err(Error::Print);
    }
    let execution = attaching.execution()?;
    let cached = Cached::read(&attaching.cache, &conflist.name, &execution)?.ok_or_else(|| {
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

/// DEL of every plugin in reverse order, with the kept result if there is one.
pub(crate) fn detach(attaching: Attaching) -> Result<(), Error> {
    let conflist = Conflist::read(&attaching.conflist)?;
    let execution = attaching.execution()?;
    let cached = Cached::read(&attaching.cache, &conflist.name, &execution)?;
    let (offers, result) = match cached {
        Some(cached) => (cached.offers, Some(cached.result)),
        None => (attaching.offers()?, None),
    };
    remove(&conflist, &offers, &execution, result.as_ref())?;
    Cached::forget(&attaching.cache, &conflist.name, &execution)
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
