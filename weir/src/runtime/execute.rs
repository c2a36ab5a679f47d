//! Executing a plugin as libcni does.

use std::path::PathBuf;

use cni::Variables;
use serde_json::{Map, Value};

use super::conflist::type_of;
use crate::error::Error;

/// Finds the executable of `plugin` in `CNI_PATH`.
pub(crate) fn find(plugin: &Map<String, Value>, variables: &Variables) -> Result<PathBuf, Error> {
    Ok(cni::find(type_of(plugin), &variables.path)?)
}

/// Runs `verb` of `plugin` with `config` on standard input, and returns the JSON that it printed, if any.
pub(crate) fn run(
    verb: &str,
    plugin: &Map<String, Value>,
    config: &Value,
    variables: &Variables,
) -> Result<Option<Value>, Error> {
    let variables = Variables { command: verb.to_owned(), ..variables.clone() };
    cni::execute(&find(plugin, &variables)?, &variables, config.to_string().as_bytes()).map_err(|error| {
        let code = match &error {
            cni::Error::Plugin(failure) => format!(" (code {})", failure.code),
            _ => String::new(),
        };
        Error::Other(format!("plugin {} failed ({verb}): {error}{code}", type_of(plugin)))
    })
}
