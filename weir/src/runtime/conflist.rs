//! Network configuration lists (specification, section 1), and the config that each plugin gets (section 3).

use std::io::{self, Read};
use std::path::Path;

use node::{MAX_BYTES, read_file};
use serde_json::{Map, Value, json};

use crate::error::Error;

/// A network configuration list.
pub(crate) struct Conflist {
    /// `name`.
    pub name: String,
    /// `cniVersion`, which the plugins get unchanged.
    pub version: String,
    /// `disableCheck`, a boolean or its text.
    pub disables_check: bool,
    /// The plugins' objects, in order.
    pub plugins: Vec<Map<String, Value>>,
}

impl Conflist {
    /// Reads a list from a file, or from standard input for `-`. A single plugin's config is a list of one.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = if path.as_os_str() == "-" { read_standard_input() } else { read_file(path) };
        let text = text.map_err(Error::file("read", path))?;
        let value = serde_json::from_slice(&text).map_err(Error::not_json(path.display()))?;
        let invalid =
            |problem| Error::Other(format!("{}: invalid network configuration: {problem}", path.display()));
        Self::parse(value).map_err(invalid)
    }

    fn parse(value: Value) -> Result<Self, String> {
        let Value::Object(list) = value else { return Err("want an object".to_owned()) };
        let text = |key: &str| list.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (name, version) = (text("name"), text("cniVersion"));
        if name.is_empty() {
            return Err("name is missing".to_owned());
        }
        let disables_check = list.get("disableCheck").is_some_and(|value| {
            value.as_bool() == Some(true)
                || value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("true"))
        });
        let plugins = match list.get("plugins") {
            None => vec![list],
            Some(Value::Array(plugins)) => plugins
                .iter()
                .map(|plugin| {
                    plugin.as_object().cloned().ok_or(format!("plugins: want objects (got {plugin})"))
                })
                .collect::<Result<_, _>>()?,
            Some(other) => return Err(format!("plugins: want a list (got {other})")),
        };
        if plugins.is_empty() {
            return Err("plugins is empty".to_owned());
        }
        if let Some(nameless) = plugins.iter().find(|plugin| type_of(plugin).is_empty()) {
            return Err(format!("plugins: type is missing (in {})", json!(nameless)));
        }
        Ok(Self { name, version, disables_check, plugins })
    }

    /// Returns the config that a plugin gets: its own object, the list's name and version, the runtime's offers for the
    /// capabilities that it declares, and the result so far.
    pub fn config_of(
        &self,
        plugin: &Map<String, Value>,
        offers: &Map<String, Value>,
        result: Option<&Value>,
    ) -> Value {
        let mut config = plugin.clone();
        config.insert("name".to_owned(), json!(self.name));
        config.insert("cniVersion".to_owned(), json!(self.version));
        let declared = plugin.get("capabilities").and_then(Value::as_object);
        let runtime_config: Map<_, _> = declared
            .into_iter()
            .flatten()
            .filter(|(_, wanted)| **wanted == Value::Bool(true))
            .filter_map(|(capability, _)| Some((capability.clone(), offers.get(capability)?.clone())))
            .collect();
        if !runtime_config.is_empty() {
            config.insert("runtimeConfig".to_owned(), Value::Object(runtime_config));
        }
        if let Some(result) = result {
            config.insert("prevResult".to_owned(), result.clone());
        }
        Value::Object(config)
    }

    /// Tells whether DEL gets the result: since version 0.4.0, as with libcni.
    pub fn has_prev_result_for_del(&self) -> bool {
        !matches!(self.version.as_str(), "" | "0.1.0" | "0.2.0" | "0.3.0" | "0.3.1")
    }
}

fn read_standard_input() -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    io::stdin().lock().take(MAX_BYTES as u64 + 1).read_to_end(&mut content)?;
    match content.len() > MAX_BYTES {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {MAX_BYTES} bytes"))),
        false => Ok(content),
    }
}

/// Returns the executable that a plugin's object names.
pub(crate) fn type_of(plugin: &Map<String, Value>) -> &str {
    plugin.get("type").and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn a_plugin_gets_only_the_capabilities_that_it_declares() {
        let list = Conflist::parse(json!({
            "cniVersion": "1.0.0", "name": "n",
            "plugins": [{"type": "bandwidth", "capabilities": {"bandwidth": true, "ips": false}}],
        }))
        .unwrap();
        let offers = object(json!({"bandwidth": {"IngressRate": 1}, "ips": ["10.0.0.7"], "dns": {}}));
        assert_eq!(
            list.config_of(&list.plugins[0], &offers, Some(&json!({"dns": {}}))),
            json!({
                "type": "bandwidth", "name": "n", "cniVersion": "1.0.0",
                "capabilities": {"bandwidth": true, "ips": false},
                "runtimeConfig": {"bandwidth": {"IngressRate": 1}},
                "prevResult": {"dns": {}},
            })
        );
        let bare = list.config_of(&list.plugins[0], &Map::new(), None);
        assert_eq!((bare.get("runtimeConfig"), bare.get("prevResult")), (None, None));
    }

    #[test]
    fn a_single_config_is_a_list_of_one() {
        let list = Conflist::parse(json!({"name": "n", "type": "bridge", "bridge": "br7"})).unwrap();
        assert_eq!(list.plugins.len(), 1);
        assert_eq!(list.plugins[0]["bridge"], "br7");
    }

    #[test]
    fn an_invalid_list_is_refused_with_the_reason() {
        for (value, reason) in [
            (json!([]), "want an object"),
            (json!({"plugins": [{"type": "bridge"}]}), "name is missing"),
            (json!({"name": "n", "plugins": []}), "plugins is empty"),
            (json!({"name": "n", "plugins": [{"bridge": "b"}]}), "type is missing"),
            (json!({"name": "n", "plugins": 7}), "want a list (got 7)"),
        ] {
            let problem = Conflist::parse(value).err().unwrap();
            assert!(problem.contains(reason), "{problem}");
        }
    }
}
