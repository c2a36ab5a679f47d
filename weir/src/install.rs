//! `weir install`: this executable under the names of all plugins.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cni::Entry;

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
pub(crate) fn install(folder: &Path, plugins: &[Entry]) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(failed("create folder", folder))?;
    let main = folder.join(OWN_NAME);
    place(&main, |temporary| {
        let mut from = File::open("/proc/self/exe")?;
        let mut to = File::create_new(temporary)?;
        io::copy(&mut from, &mut to)?;
        to.set_permissions(Permissions::from_mode(0o755))?;
        to.sync_all()
    })?;
    for plugin in plugins {
        place(&folder.join(plugin.name), |temporary| fs::hard_link(&main, temporary))?;
    }
    let folder_file = File::open(folder).map_err(failed("open folder", folder))?;
    folder_file.sync_all().map_err(failed("write folder", folder))?;
    let names: Vec<_> = plugins.iter().map(|plugin| plugin.name).collect();
    println!("installed {OWN_NAME}, {} in {}", names.join(", "), folder.display());
    Ok(())
}

/// Makes a file under a temporary name and renames it to `target`.
fn place(target: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), Error> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let temporary = target.with_file_name(format!(".{name}.{}", std::process::id()));
    let placed = make(&temporary).and_then(|()| {
        fs::rename(&temporary, target)?;
        // Renaming onto another link of the same file does nothing and leaves the temporary name.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    });
    if placed.is_err() {
        // The first error is the one to report; a temporary file that was never made is no second one.
        fs::remove_file(&temporary).ok();
    }
    placed.map_err(failed("install", target))
}
