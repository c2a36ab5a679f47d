//! The file that remembers what was there before, one for each attachment.
//!
//! It is the reference's, which reads and writes the interface's properties and ignores the rest: kernel parameters, the
//! attachment's names, and the namespace's number, by which DEL knows the namespace again.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use attachment::Result;
use cni::{Attachment, Failure, Request, code};
use linux::{SymbolicLinks, read_regular, replace_private};
use serde::{Deserialize, Serialize};

use crate::sysctls;
use crate::tuning::Tuning;

/// The reference's.
const DATA_DIR: &str = "/run/cni/tuning";
/// As many bytes as a record may have.
const LIMIT: usize = 1 << 20;
/// How a record's name ends.
const FINISHED: &str = ".json";
/// How the name of one ends that is being written.
const UNFINISHED: &str = ".tmp";

/// What was there before the first ADD of an attachment.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    /// The values.
    #[serde(flatten)]
    pub before: Tuning,
    /// The network's name; empty in a record of the reference's.
    pub network: String,
    /// `CNI_CONTAINERID`.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// `CNI_IFNAME`.
    pub ifname: String,
    /// `CNI_NETNS`.
    pub netns: String,
    /// The namespace's number; none before Linux 5.14.
    #[serde(rename = "netnsCookie", skip_serializing_if = "Option::is_none")]
    pub netns_cookie: Option<u64>,
    /// The interface's index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ifindex: Option<u32>,
}

impl Record {
    /// Reads the record at `path`, if there is one.
    ///
    /// # Errors
    /// The system's; `InvalidData` when it is not whole, or has a path that leads out of the namespace's parameters: others
    /// may write to `dataDir`.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        let text = match read_regular(path, LIMIT, SymbolicLinks::Refuse) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let record: Self = serde_json::from_slice(&text).map_err(invalid)?;
        match record.before.sysctl.keys().find(|path| !sysctls::is_in_net(path)) {
            Some(path) => Err(invalid(format!("{path:?} is not a parameter of network namespaces"))),
            None => Ok(Some(record)),
        }
    }

    /// Returns the attachment that it is of; none in a record of the reference's.
    pub fn attachment(&self) -> Option<Attachment> {
        let Self { network, container_id, ifname, .. } = self;
        (!network.is_empty()).then(|| Attachment {
            network: network.clone(),
            container_id: container_id.clone(),
            interface: ifname.clone(),
            pod: None,
        })
    }

    /// Tells whether both are of one interface of one namespace, as far as they have its numbers.
    pub fn is_of_same_interface(&self, other: &Self) -> bool {
        fn may_equal<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
            one.is_none() || other.is_none() || one == other
        }
        may_equal(self.netns_cookie, other.netns_cookie) && may_equal(self.ifindex, other.ifindex)
    }
}

/// The place of an attachment's record.
pub(crate) struct RecordFile {
    folder: PathBuf,
    stem: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    data_dir: String,
}

/// Returns the folder of the records: `dataDir`, or the reference's, also where the key cannot be read.
pub(crate) fn folder(request: &Request) -> PathBuf {
    let Keys { data_dir } = request.config().unwrap_or_default();
    if data_dir.is_empty() { DATA_DIR.into() } else { data_dir.into() }
}

/// Tells whether this is the name of a record, whole or being written.
pub(crate) fn is_name(name: &str) -> bool {
    name.ends_with(FINISHED) || name.ends_with(UNFINISHED)
}

impl RecordFile {
    /// Returns the place for the attachment that the call is about.
    pub fn of(request: &Request) -> Self {
        let stem = format!("{}_{}", request.container_id(), request.interface());
        Self { folder: folder(request), stem }
    }

    /// Returns the record's path.
    pub fn path(&self) -> PathBuf {
        self.folder.join(format!("{}{FINISHED}", self.stem))
    }

    fn unfinished(&self) -> PathBuf {
        self.folder.join(format!("{}{UNFINISHED}", self.stem))
    }

    /// Writes the record, whole or not at all.
    pub fn write(&self, record: &Record) -> Result<()> {
        let write = || {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
            replace_private(&self.path(), &self.unfinished(), &serde_json::to_vec_pretty(record)?)
        };
        write().map_err(|error: io::Error| failed("write", &self.path(), error).into())
    }

    /// Removes the record, and what a killed writer left of one.
    pub fn remove(&self) -> Result<()> {
        remove(&self.unfinished())?;
        remove(&self.path())
    }
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path, error).into()),
        _ => Ok(()),
    }
}

fn invalid(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}

/// Returns the failure to do something with a file.
pub(crate) fn failed(verb: &str, path: &Path, error: io::Error) -> Failure {
    Failure::new(code::IO_FAILURE, format!("cannot {verb} {}: {error}", path.display()))
}
