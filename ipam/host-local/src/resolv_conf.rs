//! The resolver's settings from a resolv.conf(5).

use std::path::Path;

use cni::Dns;
use linux::{SymbolicLinks, read_regular};

use crate::error::{Result, failed};

/// More bytes than any resolver reads.
const LONGEST: usize = 1024 * 1024;

/// Reads the file at `path`, which is often a symbolic link (`/etc/resolv.conf`).
pub(crate) fn read(path: &Path) -> Result<Dns> {
    match read_regular(path, LONGEST, SymbolicLinks::Follow) {
        Ok(text) => Ok(parse(&String::from_utf8_lossy(&text))),
        Err(error) => Err(failed("ipam.resolvConf: cannot read", path)(error)),
    }
}

/// Parses as the reference does: the last `domain` counts, `search` and `options` accumulate.
fn parse(text: &str) -> Dns {
    let mut dns = Dns::default();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        let mut words = line.split_whitespace();
        let (Some(keyword), Some(value)) = (words.next(), words.next()) else { continue };
        let values = || std::iter::once(value).chain(words).map(str::to_owned);
        match keyword {
            "nameserver" => dns.nameservers.push(value.to_owned()),
            "domain" => value.clone_into(&mut dns.domain),
            "search" => dns.search.extend(values()),
            "options" => dns.options.extend(values()),
            _ => {}
        }
    }
    dns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolv_conf_becomes_dns() {
        let dns = parse(
            "# of the node\n; also\n\nnameserver 10.0.0.53\n  nameserver fd00::53 # second\nnameserver\n\
             domain old.example\ndomain example.com\nsearch a.example b.example\noptions ndots:5 rotate\n",
        );
        assert_eq!(dns.nameservers, ["10.0.0.53", "fd00::53"]);
        assert_eq!(dns.domain, "example.com");
        assert_eq!(dns.search, ["a.example", "b.example"]);
        assert_eq!(dns.options, ["ndots:5", "rotate"]);
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let error = read(Path::new("/nowhere/resolv.conf")).unwrap_err().to_string();
        assert!(error.starts_with("ipam.resolvConf: cannot read /nowhere/resolv.conf: "), "{error}");
    }

    #[test]
    fn only_a_regular_file_is_read_and_a_link_to_one_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("resolv.conf");
        std::fs::write(folder.path().join("stub"), "nameserver 10.0.0.53\n").unwrap();
        std::os::unix::fs::symlink("stub", &link).unwrap();
        assert_eq!(read(&link).unwrap().nameservers, ["10.0.0.53"]);
        for (path, reason) in
            [(Path::new("/dev/zero"), "not a regular file"), (folder.path(), "not a regular file")]
        {
            let error = read(path).unwrap_err().to_string();
            assert!(error.starts_with("ipam.resolvConf: cannot read ") && error.ends_with(reason), "{error}");
        }
    }
}
