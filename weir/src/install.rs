//! `weir install`: this executable under the names of all plugins.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use cni::Plugin;

use crate::folder::{Access, Folder};
use crate::output;

/// The operator's own name for the executable.
const OWN_NAME: &str = "weir";

/// Why an installation failed. What was there before is untouched, name by name.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}: {source}", path.display())]
pub(crate) struct Error {
    verb: &'static str,
    path: PathBuf,
    source: io::Error,
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error { verb, path, source }
}

/// Copies this executable into `folder` as `weir` and links it to the name of each plugin.
///
/// Each name appears by a rename, so that a runtime which executes it at that moment gets the old file or
/// the whole new one; a file that is being executed is replaced, not written to.
pub(crate) fn install(folder: &Path, plugins: &[Plugin]) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(failed("create folder", folder))?;
    let open = Folder::open(folder).map_err(failed("open folder", folder))?;
    let main = OsStr::new(OWN_NAME);
    let copy = |to: &mut File| {
        io::copy(&mut File::open("/proc/self/exe")?, to)?;
        // Before its name is there, and the permissions follow: a crash leaves no half of an executable.
        to.sync_all()
    };
    open.replace(main, Access::Exactly(0o755), copy).map_err(failed("install", &folder.join(main)))?;
    for plugin in plugins {
        open.link(main, plugin.name.as_ref()).map_err(failed("install", &folder.join(plugin.name)))?;
    }
    open.sync().map_err(failed("write folder", folder))?;
    let names: Vec<_> = plugins.iter().map(|plugin| plugin.name).collect();
    let done = format!("installed {OWN_NAME}, {} in {}\n", names.join(", "), folder.display());
    output::print(&done).map_err(failed("print to", Path::new("standard output")))
}
