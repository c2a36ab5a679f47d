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

/// The folder with the executable under all its names, as `weir install` puts it there: beside the
/// executable, which is `$WEIR` or else what `scripts/build` builds.
///
/// # Panics
/// When it cannot be built or installed.
pub fn installed() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let weir = std::env::var_os("WEIR").map_or_else(build, PathBuf::from);
        let folder = weir.with_file_name("plugins-under-test");
        let output = Command::new(&weir).arg("install").arg(&folder).output().expect("weir starts");
        assert!(output.status.success(), "weir install: {}", String::from_utf8_lossy(&output.stderr));
        folder
    })
}

fn build() -> PathBuf {
    let output = Command::new(repository().join("scripts/build")).output().expect("scripts/build starts");
    assert!(output.status.success(), "scripts/build: {}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}
