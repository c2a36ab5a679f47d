//! Kernel parameters of the current network namespace, under `/proc/sys`.

use std::fs::{self, File};
use std::io::{self, Read};

use crate::error::{Error, Result};

/// Sets `key` (with slashes, such as `net/ipv4/ip_forward`) unless it has that value already. As
/// `sysctl -w KEY=VALUE`.
///
/// # Errors
/// [`Error::Sysctl`] when the parameter cannot be read or set.
pub fn ensure(key: &str, value: &str) -> Result<()> {
    let path = path(key);
    if is(&path, value).map_err(|source| failed("read", key, source))? {
        return Ok(());
    }
    fs::write(&path, value).map_err(|source| failed("set", key, source))
}

/// As [`ensure`], where the parameter may be absent: a kernel without IPv6, an old one.
///
/// # Errors
/// [`Error::Sysctl`] when the parameter exists, has another value and cannot be set.
pub fn ensure_if_present(key: &str, value: &str) -> Result<()> {
    match ensure(key, value) {
        Err(Error::Sysctl { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// Sets `key` where that is possible: for what makes things better but not right. It stays as it is where
/// `/proc/sys` is read-only, as in a container, or has no such parameter.
pub fn prefer(key: &str, value: &str) {
    // Not an error, as said above.
    let _ = fs::write(path(key), value);
}

/// The kernel gives all of a parameter in one read.
fn is(path: &str, value: &str) -> io::Result<bool> {
    let mut current = [0; 64];
    let length = File::open(path)?.read(&mut current)?;
    Ok(current[..length].trim_ascii_end() == value.as_bytes())
}

fn path(key: &str) -> String {
    format!("/proc/sys/{key}")
}

fn failed(verb: &'static str, key: &str, source: io::Error) -> Error {
    Error::Sysctl { verb, key: key.to_owned(), source }
}
