//! The executable under test, and the reference.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where Debian's `containernetworking-plugins` puts the reference plugins.
pub const REFERENCE: &str = "/usr/lib/cni";

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository")
}

/// A folder with the executable under all its names, as `weir install` puts it there. The executable is
/// `$WEIR`, or else what `scripts/build` builds.
///
/// # Panics
/// When it cannot be built or installed.
pub fn installed() -> &'static Path {
    static INSTALLED: OnceLock<tempfile::TempDir> = OnceLock::new();
    INSTALLED
        .get_or_init(|| {
            let weir = std::env::var_os("WEIR").map_or_else(build, PathBuf::from);
            // Beside the executable, so that the folder goes with `cargo clean` when a test is killed.
            let folder = tempfile::tempdir_in(weir.parent().expect("the executable lies in a folder"))
                .expect("a folder can be made beside the executable");
            let status = Command::new(&weir).arg("install").arg(folder.path()).output().expect("weir starts");
            assert!(status.status.success(), "weir install: {}", String::from_utf8_lossy(&status.stderr));
            folder
        })
        .path()
}

fn build() -> PathBuf {
    let output = Command::new(repository().join("scripts/build")).output().expect("scripts/build starts");
    assert!(output.status.success(), "scripts/build: {}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}
