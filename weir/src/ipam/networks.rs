//! The networks of this node whose addresses `host-local` manages.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use host_local::Network;
use serde_json::Value;

use super::{Error, Places};
use crate::read_file::read_file;

/// The default of `--conf-dir`.
const CONF_DIR: &str = "/etc/cni/net.d";
/// The default of `--data-dir`.
const DATA_DIR: &str = "/var/lib/cni/networks";

/// What was found in the folders.
pub(super) struct Networks {
    pub(super) networks: Vec<Network>,
    /// Configurations that could not be read. Their networks may be there only as reservations, or not at all.
    pub(super) unread: Vec<String>,
}

/// The networks that configurations describe, then those of which there are only reservations; with `name`
/// only that one.
///
/// # Errors
/// [`Error::Folder`], [`Error::NoNetwork`].
pub(super) fn find(places: &Places, name: Option<&str>) -> Result<Networks, Error> {
    let conf_dir = places.conf_dir.as_deref().unwrap_or(Path::new(CONF_DIR));
    let data_dir = places.data_dir.as_deref().unwrap_or(Path::new(DATA_DIR));
    let mut networks = Vec::new();
    let mut unread = Vec::new();
    for file in files(conf_dir, places.conf_dir.is_some())? {
        match config(&file) {
            Ok(config) => networks.extend(of_config(&file, &config, &mut unread)),
            Err(error) => unread.push(format!("cannot read {}: {error}", file.display())),
        }
    }
    for directory in folders(data_dir, places.data_dir.is_some())? {
        if !networks.iter().any(|known: &Network| known.directory == directory) {
            networks.push(Network::of_directory(&directory));
        }
    }
    if let Some(name) = name {
        networks.retain(|network| network.name == name);
        if networks.is_empty() {
            return Err(Error::NoNetwork {
                name: name.to_owned(),
                conf_dir: conf_dir.to_owned(),
                data_dir: data_dir.to_owned(),
            });
        }
    }
    Ok(Networks { networks, unread })
}

fn config(file: &Path) -> io::Result<Value> {
    Ok(serde_json::from_slice(&read_file(file)?)?)
}

/// A list of plugins, or a plugin alone. What `host-local` cannot read is left out, and noted in `unread`.
fn of_config(file: &Path, config: &Value, unread: &mut Vec<String>) -> Vec<Network> {
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
            unread.push(format!("{}: {error}", file.display()));
            None
        }
    };
    plugins.iter().filter(is_ours).filter_map(network).collect()
}

fn files(folder: &Path, is_chosen: bool) -> Result<Vec<PathBuf>, Error> {
    let is_config = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("conf" | "conflist" | "json"))
    };
    Ok(sorted(folder, is_chosen)?.into_iter().filter(is_config).collect())
}

fn folders(folder: &Path, is_chosen: bool) -> Result<Vec<PathBuf>, Error> {
    Ok(sorted(folder, is_chosen)?.into_iter().filter(|path| path.is_dir()).collect())
}

/// A folder that nobody chose may be missing.
fn sorted(folder: &Path, is_chosen: bool) -> Result<Vec<PathBuf>, Error> {
    let read = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    match read() {
        Ok(mut paths) => {
            paths.sort();
            Ok(paths)
        }
        Err(error) if error.kind() == ErrorKind::NotFound && !is_chosen => Ok(Vec::new()),
        Err(source) => Err(Error::Folder { path: folder.to_owned(), source }),
    }
}
