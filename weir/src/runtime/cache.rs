//! The result of an attachment, cached until it is detached.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use cni::Variables;
use node::read_file;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::folder::{Access, Folder};

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

/// Returns the path of the file in `folder`.
pub(crate) fn path(folder: &Path, network: &str, variables: &Variables) -> PathBuf {
    folder.join(format!("{network}-{}-{}", variables.container_id, variables.interface))
}

impl Cached {
    /// Writes the file, whole or not at all.
    pub fn write(&self, path: &Path, network: &str, variables: &Variables) -> Result<(), Error> {
        let text = serde_json::to_vec(&File {
            container_id: &variables.container_id,
            if_name: &variables.interface,
            network_name: network,
            netns: &variables.netns,
            cni_args: variables.arguments.split(';').filter_map(|pair| pair.split_once('=')).collect(),
            result: &self.result,
            offers: &self.offers,
        })?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path.with_file_name(""))
            .and_then(|()| Folder::of(path))
            .and_then(|(folder, name)| folder.replace(name, ACCESS, |file| file.write_all(&text)))
            .map_err(Error::file("write", path))
    }

    /// Reads the file; none when there is none.
    pub fn read(path: &Path) -> Result<Option<Self>, Error> {
        match read_file(path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(Error::not_json(path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file("read", path)(error)),
        }
    }

    /// Deletes the file.
    pub fn forget(path: &Path) -> Result<(), Error> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::file("delete", path)(error)),
            _ => Ok(()),
        }
    }
}
