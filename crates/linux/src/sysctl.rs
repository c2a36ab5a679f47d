//! Kernel parameters of the current network namespace, under `/proc/sys`.

use std::fs::{self, File};
use std::io::{self, Read, Write};

use crate::error::{Error, Result};

/// Returns the value of `key`, without the line's end. As `sysctl -n KEY`.
///
/// # Errors
/// [`Error::Sysctl`]; its source is `NotFound` when this namespace has no such parameter.
pub fn get(key: &str) -> Result<String> {
    let value = fs::read(path(key)).map_err(|source| failed("read", key, source))?;
    Ok(String::from_utf8_lossy(value.trim_ascii_end()).into_owned())
}

/// Sets `key`. As `sysctl -w KEY=VALUE`.
///
/// # Errors
/// [`Error::Sysctl`] when the parameter is absent, or refuses the value.
pub fn set(key: &str, value: &str) -> Result<()> {
    // Not `fs::write`: it would create what is absent, which the kernel refuses with another error. The line's end makes an
    // empty value a write, which empties a list.
    let write = || File::options().write(true).open(path(key))?.write_all(format!("{value}\n").as_bytes());
    write().map_err(|source| failed("set", key, source))
}

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
    set(key, value)
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

/// Sets `key` where possible: an improvement only. The parameter stays as it is where `/proc/sys` is read-only, as in
/// a container, or has no such parameter.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::new_namespace;

    #[test]
    fn a_parameter_reads_as_it_was_set_and_an_absent_one_is_told_from_a_refused_value() {
        const KEY: &str = "net/ipv4/ip_local_port_range";
        let _namespace = new_namespace();
        set(KEY, "1024 65000").unwrap();
        assert_eq!(get(KEY).unwrap(), "1024\t65000");
        let kind = |error| match error {
            Error::Sysctl { source, .. } => source.kind(),
            other => panic!("{other}"),
        };
        assert_eq!(kind(set(KEY, "many").unwrap_err()), io::ErrorKind::InvalidInput);
        for absent in [get("net/none").map(drop), set("net/none", "1")] {
            assert_eq!(kind(absent.unwrap_err()), io::ErrorKind::NotFound);
        }
    }
}
