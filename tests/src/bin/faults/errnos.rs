//! The error numbers that the kernel may answer a system call with, whatever it is asked for.

/// The errors to try at each call of this name: those that come from outside (memory, descriptors, disks, security
/// modules, signals, lost answers), not from what was asked. A signal ends the wait for an answer, a full receive
/// buffer loses it: the request was carried out then.
///
/// Empty for calls that cannot fail so.
pub fn of(call: &str) -> &'static [&'static str] {
    match call {
        "open" | "openat" => &["EMFILE", "EIO"],
        "read" | "pread64" | "getdents64" | "readlink" | "readlinkat" => &["EIO", "EINTR"],
        "write" | "pwrite64" => &["ENOSPC", "EIO", "EPIPE"],
        "ftruncate" | "fallocate" | "mkdir" | "mkdirat" | "rename" | "renameat" | "renameat2" => {
            &["ENOSPC", "EIO"]
        }
        "link" | "linkat" | "symlink" | "symlinkat" => &["EPERM", "ENOSPC", "EIO"],
        "unlink" | "unlinkat" | "rmdir" | "fsync" | "fdatasync" => &["EIO", "EROFS"],
        "chmod" | "fchmod" | "fchmodat" | "utimensat" => &["EPERM", "EIO"],
        "stat" | "lstat" | "newfstatat" | "statx" | "access" | "faccessat" => &["EIO", "EACCES"],
        "fstat" | "statfs" | "fstatfs" | "lseek" | "ioctl" => &["EIO"],
        "flock" => &["EINTR", "ENOLCK"],
        "socket" => &["EMFILE", "ENOBUFS", "EPERM"],
        "connect" | "bind" | "getsockname" => &["ENOMEM", "ENOBUFS"],
        "setsockopt" => &["ENOPROTOOPT", "ENOMEM"],
        "sendto" | "sendmsg" => &["ENOBUFS", "EINTR", "ENOMEM", "EPERM"],
        "recvfrom" | "recvmsg" => &["ENOBUFS", "EINTR", "ENOMEM"],
        "poll" | "ppoll" => &["EINTR", "ENOMEM"],
        "setns" | "unshare" => &["EPERM", "ENOMEM"],
        "close" => &["EINTR"],
        "mmap" | "mremap" => &["ENOMEM"],
        _ => &[],
    }
}
