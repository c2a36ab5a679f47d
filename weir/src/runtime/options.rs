//! The command line of `weir attach`, `check` and `detach`.

use std::path::{Path, PathBuf};

use clap::Args;
use cni::Variables;
use serde_json::{Map, Value};

use super::annotations;
use crate::error::Error;

#[derive(Args)]
pub(crate) struct Options {
    /// The network configuration list, a JSON file (*.conflist, or *.conf with a single plugin); - for standard input.
    #[arg(long, value_name = "FILE")]
    pub conflist: PathBuf,
    /// The network namespace, such as /var/run/netns/pod1; detach works without it.
    #[arg(long, value_name = "PATH", default_value = "")]
    netns: String,
    /// The container's ID.
    #[arg(long, value_name = "ID")]
    container_id: String,
    /// Name of the interface in the container.
    #[arg(long, value_name = "NAME", default_value = "eth0")]
    ifname: String,
    /// A pod annotation, such as kubernetes.io/egress-bandwidth=10M; may be given several times.
    #[arg(long = "annotation", value_name = "KEY=VALUE")]
    annotations: Vec<String>,
    /// A pair of CNI_ARGS, such as K8S_POD_NAME=web-0; may be given several times.
    #[arg(long = "arg", value_name = "KEY=VALUE")]
    arguments: Vec<String>,
    /// A capability with its value, such as 'ips=["10.1.2.7"]'; may be given several times.
    #[arg(long = "cap", value_name = "KEY=JSON")]
    capabilities: Vec<String>,
    /// Folders with plugins, separated by colons; when absent CNI_PATH, or else the folder of this executable.
    #[arg(long, value_name = "FOLDERS")]
    cni_path: Option<String>,
    /// Folder in which results are cached between attach and detach.
    #[arg(long, value_name = "FOLDER", default_value = cni::OWN_RESULTS)]
    pub cache: PathBuf,
}

impl Options {
    /// Returns the capabilities with their values, for plugins that declare them.
    pub fn offers(&self) -> Result<Map<String, Value>, Error> {
        let annotations = annotations::parse(&self.annotations)?;
        let mut offers = annotations::capabilities(&annotations)?;
        for pair in &self.capabilities {
            let (key, json) = pair.split_once('=').ok_or_else(|| Error::pair("--cap", pair))?;
            let value = serde_json::from_str(json).map_err(Error::not_json(format_args!("--cap {key}")))?;
            offers.insert(key.to_owned(), value);
        }
        Ok(offers)
    }

    /// Returns the variables that every plugin gets, without `CNI_COMMAND`.
    pub fn variables(&self) -> Result<Variables, Error> {
        if let Some(pair) = self.arguments.iter().find(|pair| !pair.contains('=')) {
            return Err(Error::pair("--arg", pair));
        }
        Ok(Variables {
            command: String::new(),
            path: self.cni_path.clone().map_or_else(default_path, Ok)?,
            container_id: self.container_id.clone(),
            netns: self.netns.clone(),
            interface: self.ifname.clone(),
            arguments: self.arguments.join(";"),
            netns_override: std::env::var("CNI_NETNS_OVERRIDE").unwrap_or_default(),
        })
    }
}

/// `CNI_PATH` of the environment, or else the folder of this executable.
fn default_path() -> Result<String, Error> {
    if let Some(path) = std::env::var("CNI_PATH").ok().filter(|path| !path.is_empty()) {
        return Ok(path);
    }
    let own = std::env::current_exe().map_err(Error::file("find", Path::new("this executable")))?;
    Ok(own.parent().map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default())
}
