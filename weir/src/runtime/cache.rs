//! The result of an attachment, cached until it is detached.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use node::read_file;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::folder::{Access, Folder};

use super::error::Error;
use super::execute::Execution;

/// Only root reads a pod's addresses and arguments.
const ACCESS: Access = Access::Exactly(0o600);

/// What CHECK and DEL need from ADD.
#[derive(Deserialize)]
pub(crate) struct Cached {
    /// The last plugin's result.
    pub result: Value,
    /// The capabilities that the runtime offered.
    pub offers: Map<String, Value>,
}

/// The file, with the keys of libcni's (`libcni/api.go`, `cachedInfo`).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    container_id: &'a str,
    if_name: &'a str,
    network_name: &'a str,
    netns: &'a str,
    cni_args: Vec<(&'a str, &'a str)>,
    result: &'a Value,
    offers: &'a Map<String, Value>,
}

impl Cached {
    /// Writes the file, whole or not at all.
    pub fn write(&self, folder: &Path, network: &str, execution: &Execution) -> Result<(), Error> {
        let path = file(folder, network, execution);
        let text = serde_json::to_vec(&File {
            container_id: &execution.container_id,
            if_name: &execution.interface,
            network_name: network,
            netns: &execution.netns,
            cni_args: execution.arguments.split(';').filter_map(|pair| pair.split_once('=')).collect(),
            result: &self.result,
            offers: &self.offers,
        });
        let text = text.map_err(Error::Encode)?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .and_then(|()| Folder::of(&path))
            .and_then(|(folder, name)| folder.replace(name, ACCESS, |file| file.write_all(&text)))
            .map_err(|source| Error::Write { path: path.clone(), source })
    }

    /// Reads the file; none when there is none.
    pub fn read(folder: &Path, network: &str, execution: &Execution) -> Result<Option<Self>, Error> {
        let path = file(folder, network, execution);
        match read_file(&path) {
            Ok(text) => {
                serde_json::from_slice(&text).map(Some).map_err(|source| Error::NotJson { path, source })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Read { path, source }),
        }
    }

    /// Deletes the file.
    pub fn forget(folder: &Path, network: &str, execution: &Execution) -> Result<(), Error> {
        let path = file(folder, network, execution);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::Write { path, source: error }),
            _ => Ok(()),
        }
    }
}

fn file(folder: &Path, network: &str, execution: &Execution) -> PathBuf {
    folder.join(format!("{network}-{}-{}", execution.container_id, execution.interface))
}
