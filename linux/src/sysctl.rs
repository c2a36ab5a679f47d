//! Kernel parameters of the current network namespace, under `/proc/sys`.

use std::fs;
use std::io;

use crate::error::{Error, Result};

/// Sets `key` (with slashes, such as `net/ipv4/ip_forward`) unless it has that value already. As
/// `sysctl -w KEY=VALUE`.
///
/// # Errors
/// [`Error::Sysctl`] when the parameter cannot be read or set.
pub fn ensure(key: &str, value: &str) -> Result<()> {
    let path = path(key);
    let current = fs::read_to_string(&path).map_err(|source| failed("read", key, source))?;
    if current.trim_end() == value {
        return Ok(());
    }
    fs::write(&path, value).map_err(|source| failed("set", key, source))
}

/// As [`ensure`], where the parameter may be absent: a kernel without IPv6, an old one.
///
/// # Errors
/// [`Error::Sysctl`] when the parameter exists and cannot be set.
pub fn set_if_present(key: &str, value: &str) -> Result<()> {
    match fs::OpenOptions::new().write(true).open(path(key)) {
        Ok(mut file) => {
            io::Write::write_all(&mut file, value.as_bytes()).map_err(|source| failed("set", key, source))
        }
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(failed("set", key, source)),
    }
}

fn path(key: &str) -> String {
    format!("/proc/sys/{key}")
}

fn failed(verb: &'static str, key: &str, source: io::Error) -> Error {
    Error::Sysctl { verb, key: key.to_owned(), source }
}
