//! The networks of this node whose addresses `host-local` manages.

use std::fs;
use std::path::{Path, PathBuf};

use host_local::Network;
use serde_json::Value;

use super::{Error, Places};

/// The networks that configurations describe, then those of which there are only reservations; with `name`
/// only that one.
pub(super) fn find(places: &Places, name: Option<&str>) -> Result<Vec<Network>, Error> {
    let mut networks = Vec::new();
    for file in files(&places.conf_dir) {
        let config = fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        networks.extend(config.as_ref().into_iter().flat_map(|config| of_config(&file, config)));
    }
    for directory in folders(&places.data_dir) {
        if !networks.iter().any(|known: &Network| known.directory == directory) {
            networks.push(Network::of_directory(&directory));
        }
    }
    if let Some(name) = name {
        networks.retain(|network| network.name == name);
        if networks.is_empty() {
            return Err(Error::NoNetwork {
                name: name.to_owned(),
                conf_dir: places.conf_dir.clone(),
                data_dir: places.data_dir.clone(),
            });
        }
    }
    Ok(networks)
}

/// A list of plugins, or a plugin alone. What `host-local` cannot read is said and left out: its reservations
/// are found in the data folder.
fn of_config(file: &Path, config: &Value) -> Vec<Network> {
    let Some(name) = config["name"].as_str() else { return Vec::new() };
    let plugins = config["plugins"].as_array().map_or(std::slice::from_ref(config), Vec::as_slice);
    let is_ours = |plugin: &&Value| {
        plugin["ipam"]["type"]
            .as_str()
            .is_some_and(|kind| kind == "host-local" || kind.ends_with("-host-local"))
    };
    let network = |plugin: &Value| match Network::of_config(name, plugin) {
        Ok(network) => Some(network),
        Err(error) => {
            eprintln!("weir: leaving {} out: {error}", file.display());
            None
        }
    };
    plugins.iter().filter(is_ours).filter_map(network).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let is_config = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("conf" | "conflist" | "json"))
    };
    sorted(folder).into_iter().filter(is_config).collect()
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    sorted(folder).into_iter().filter(|path| path.is_dir()).collect()
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
