//! `weir install`: installs this executable under the names of all plugins.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use cni::Plugin;

use crate::error::Error;
use crate::folder::{Access, Folder};
use crate::output;

/// The name with which the executable is the operator's tool.
const OWN_NAME: &str = "weir";

/// Copies this executable into `folder` as `weir` and links it to the name of each plugin.
///
/// Each name appears by a rename: a runtime that executes it meanwhile gets the old file or the whole new one. A file
/// that is being executed is replaced, not written to. When one name fails, it and those after it stay what they were.
pub(crate) fn install(folder: &Path, plugins: &[Plugin]) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(Error::file("create folder", folder))?;
    let open = Folder::open(folder).map_err(Error::file("open folder", folder))?;
    let main = OsStr::new(OWN_NAME);
    let copy = |to: &mut File| {
        io::copy(&mut File::open("/proc/self/exe")?, to)?;
        // Before the permissions and the name: a crash leaves no partial executable.
        to.sync_all()
    };
    open.replace(main, Access::Exactly(0o755), copy).map_err(Error::file("install", &folder.join(main)))?;
    for plugin in plugins {
        open.link(main, plugin.name.as_ref()).map_err(Error::file("install", &folder.join(plugin.name)))?;
    }
    open.sync().map_err(Error::file("write folder", folder))?;
    let names: Vec<_> = plugins.iter().map(|plugin| plugin.name).collect();
    let done = format!("installed {OWN_NAME}, {} in {}\n", names.join(", "), folder.display());
    output::print(&done)
}
