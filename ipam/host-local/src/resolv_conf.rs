//! The resolver's settings from a resolv.conf(5).

use std::fs;
use std::path::Path;

use cni::Dns;

use crate::error::{Error, Result};

/// Reads the file at `path`.
///
/// # Errors
/// [`Error::ResolvConf`].
pub(crate) fn read(path: &Path) -> Result<Dns> {
    match fs::read(path) {
        Ok(text) => Ok(parse(&String::from_utf8_lossy(&text))),
        Err(source) => Err(Error::ResolvConf { path: path.to_owned(), source }),
    }
}

/// As the reference reads it: the last `domain` wins, `search` and `options` add up.
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
}
