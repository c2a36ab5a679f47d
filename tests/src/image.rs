//! The image of the container that holds a pod's namespaces while nothing else runs in it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::json;
use tempfile::TempDir;

/// The image's name, as a runtime's config has it.
pub const PAUSE: &str = "localhost/pause:1";

/// A runtime ends the pause container with SIGKILL: there is nothing to be caught.
const PROGRAM: &str = "fn main() { loop { std::thread::park() } }";

/// Writes an archive of the image into `folder`, as `docker save` does, for `ctr images import`; it is compiled
/// once for all tests.
///
/// # Panics
/// When it cannot be made.
pub fn pause(folder: &Path) -> PathBuf {
    static ARCHIVE: OnceLock<Vec<u8>> = OnceLock::new();
    let archive = folder.join("pause.tar");
    std::fs::write(&archive, ARCHIVE.get_or_init(make)).expect("the folder is there");
    archive
}

fn make() -> Vec<u8> {
    let folder = TempDir::new().expect("a folder can be made");
    let folder = folder.path();
    compile(&folder.join("pause"));
    let tar = |name: &str, files: &str| {
        crate::shell(&format!("tar -C {} --owner=0 --group=0 -cf {0}/{name} {files}", folder.display()));
        folder.join(name)
    };
    let layer = tar("layer.tar", "pause");
    let digest = crate::shell(&format!("sha256sum {}", layer.display()));
    let digest = digest.split_whitespace().next().expect("a digest");
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [PAUSE], "Layers": ["layer.tar"]}]);
    for (name, content) in [("config.json", config), ("manifest.json", manifest)] {
        std::fs::write(folder.join(name), content.to_string()).expect("the folder is there");
    }
    let image = tar("image.tar", "manifest.json config.json layer.tar");
    std::fs::read(image).expect("tar has written it")
}

/// Static: the image has nothing else in it.
fn compile(program: &Path) {
    let mut compiler = Command::new("rustc")
        .args(["--crate-name", "pause", "--edition", "2024", "-C", "target-feature=+crt-static"])
        .args(["-C", "strip=symbols", "-o"])
        .arg(program)
        .arg("-")
        .stdin(Stdio::piped())
        .spawn()
        .expect("rustc is there, it has compiled this");
    let mut source = compiler.stdin.take().expect("standard input is a pipe");
    source.write_all(PROGRAM.as_bytes()).expect("rustc reads");
    drop(source);
    assert!(compiler.wait().expect("rustc ends").success(), "rustc cannot compile the pause program");
}
