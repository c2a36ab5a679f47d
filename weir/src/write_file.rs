//! Writing a file that the operator names.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::folder::{Access, Folder, Kind};

/// The most symbolic links that are followed, as by the kernel (`MAXSYMLINKS` in linux/namei.h).
const MOST_LINKS: u32 = 40;

/// Writes `text` to `path`. A regular file is replaced as a whole and keeps its permissions and owner; a device or FIFO
/// is written to, as `cp` does.
///
/// A symbolic link is followed when only root or the caller can have created it, so that `/dev/stdout` works. In a
/// folder that another user may write to, links and FIFOs are refused.
///
/// # Errors
/// The system's, or the reason of a refusal.
pub(crate) fn write_file(path: &Path, text: &[u8]) -> io::Result<()> {
    write_through(path, text, MOST_LINKS)
}

fn write_through(path: &Path, text: &[u8], links: u32) -> io::Result<()> {
    let (folder, name) = Folder::of(path)?;
    let refused = |what: &str| {
        Err(io::Error::other(format!(
            "{what} in a folder that another user may write to; name the target itself, or choose another folder"
        )))
    };
    match folder.kind_of(name)? {
        None | Some(Kind::Regular) => folder.replace(name, Access::Kept, |file| file.write_all(text)),
        Some(Kind::Device) => folder.open_special(name)?.write_all(text),
        Some(Kind::Other) if !folder.vouches_for(name)? => refused("not a regular file"),
        Some(Kind::Other) => folder.open_special(name)?.write_all(text),
        Some(Kind::SymbolicLink) if folder.is_of_proc()? => {
            File::options().write(true).truncate(true).open(path)?.write_all(text)
        }
        Some(Kind::SymbolicLink) if !folder.vouches_for(name)? => refused("a symbolic link"),
        Some(Kind::SymbolicLink) => {
            let target = folder.read_link(name)?;
            let left = links.checked_sub(1).ok_or_else(|| io::Error::other("too many symbolic links"))?;
            write_through(&path.with_file_name("").join(target), text, left)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

    use super::*;

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_file_is_replaced_and_keeps_mode_and_owner_and_nothing_else_is_left() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("weir.prom");
        write_file(&file, b"first").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o4640)).unwrap();
        chown(&file, Some(1234), Some(4321)).unwrap();
        let inode = fs::metadata(&file).unwrap().ino();
        write_file(&file, b"second").unwrap();
        let metadata = fs::metadata(&file).unwrap();
        assert_eq!(read(&file), "second");
        assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (1234, 4321, 0o640));
        assert_ne!(metadata.ino(), inode, "a reader of the former file goes on with it");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_is_followed_only_where_no_other_user_can_have_made_it() {
        let place = tempfile::tempdir().unwrap();
        let [file, link, second] = ["file", "link", "second"].map(|name| place.path().join(name));
        fs::write(&file, "old").unwrap();
        symlink("file", &link).unwrap();
        symlink(&link, &second).unwrap();
        write_file(&second, b"new").unwrap();
        assert_eq!(read(&file), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        for (owner, mode) in [(1234, 0o755), (0, 0o777), (0, 0o775)] {
            chown(place.path(), Some(owner), None).unwrap();
            fs::set_permissions(place.path(), Permissions::from_mode(mode)).unwrap();
            let error = write_file(&second, b"newer").unwrap_err().to_string();
            assert!(error.contains("symbolic link"), "{error}");
            assert_eq!(read(&file), "new");
        }
    }

    #[test]
    fn links_in_a_circle_end() {
        let place = tempfile::tempdir().unwrap();
        let link = place.path().join("link");
        symlink(&link, &link).unwrap();
        assert!(write_file(&link, b"text").unwrap_err().to_string().contains("too many"));
    }

    #[test]
    fn a_folder_is_refused() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("folder")).unwrap();
        assert!(write_file(&place.path().join("folder"), b"text").is_err());
    }
}
