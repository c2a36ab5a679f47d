//! The networks of this node whose addresses `host-local` manages.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use host_local::Network;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::read_file::read_file;

/// Where networks are described and their reservations kept. A folder that is not given is the usual one, which may be
/// missing.
#[derive(Debug, Clone, Default)]
pub struct Folders {
    /// The folder of the runtime's network configurations; otherwise [`Folders::CONF_DIR`].
    pub conf_dir: Option<PathBuf>,
    /// The folder of the reservations of networks that no configuration describes; otherwise [`Folders::DATA_DIR`].
    pub data_dir: Option<PathBuf>,
}

impl Folders {
    /// The usual folder of network configurations.
    pub const CONF_DIR: &str = "/etc/cni/net.d";
    /// The usual folder of reservations.
    pub const DATA_DIR: &str = "/var/lib/cni/networks";
}

/// The networks found in the folders.
pub(crate) struct Networks {
    pub networks: Vec<Network>,
    /// The configurations that could not be read. Their networks may be missing, or without ranges.
    pub unread: Vec<String>,
}

impl Networks {
    /// Finds the networks that configurations describe, then those that have only reservations; with `name` only the
    /// network of that name.
    ///
    /// # Errors
    /// When a folder cannot be read; when no network has the name.
    pub fn find(folders: &Folders, name: Option<&str>) -> Result<Self> {
        let conf_dir = folders.conf_dir.as_deref().unwrap_or(Path::new(Folders::CONF_DIR));
        let data_dir = folders.data_dir.as_deref().unwrap_or(Path::new(Folders::DATA_DIR));
        let mut networks = Vec::new();
        let mut unread = Vec::new();
        for file in files(conf_dir, folders.conf_dir.is_some())? {
            match config(&file) {
                Ok(config) => networks.extend(of_config(&file, &config, &mut unread)),
                Err(error) => unread.push(format!("cannot read {}: {error}", file.display())),
            }
        }
        for directory in directories(data_dir, folders.data_dir.is_some())? {
            if !networks.iter().any(|known: &Network| known.directory == directory) {
                networks.push(Network::of_directory(&directory));
            }
        }
        if let Some(name) = name {
            networks.retain(|network| network.name == name);
            if networks.is_empty() {
                let (conf_dir, data_dir) = (conf_dir.display(), data_dir.display());
                return Err(Error::Other(format!(
                    "no network {name:?}: neither a configuration in {conf_dir} nor a folder in {data_dir}"
                )));
            }
        }
        Ok(Self { networks, unread })
    }
}

fn config(file: &Path) -> io::Result<Value> {
    Ok(serde_json::from_slice(&read_file(file)?)?)
}

/// The networks of a list of plugins, or of a single plugin's config. One that `host-local` cannot read is noted in
/// `unread`.
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

fn files(folder: &Path, is_chosen: bool) -> Result<Vec<PathBuf>> {
    let is_config = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("conf" | "conflist" | "json"))
    };
    Ok(sorted(folder, is_chosen)?.into_iter().filter(is_config).collect())
}

fn directories(folder: &Path, is_chosen: bool) -> Result<Vec<PathBuf>> {
    Ok(sorted(folder, is_chosen)?.into_iter().filter(|path| path.is_dir()).collect())
}

/// The paths in a folder; one that was not chosen may be missing.
fn sorted(folder: &Path, is_chosen: bool) -> Result<Vec<PathBuf>> {
    let read = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    match read() {
        Ok(mut paths) => {
            paths.sort();
            Ok(paths)
        }
        Err(error) if error.kind() == ErrorKind::NotFound && !is_chosen => Ok(Vec::new()),
        Err(error) => Err(Error::io(format_args!("read folder {}", folder.display()))(error)),
    }
}
