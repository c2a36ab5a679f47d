//! The node's list of kernel parameters that configs may set.

use std::io::ErrorKind;
use std::path::Path;

use attachment::Result;
use cni::{Failure, code};
use linux::{SymbolicLinks, read_regular};
use regex_lite::Regex;

/// The reference's. Each line is a regular expression that matches anywhere in a key; without the file every key of
/// [the namespace](crate::sysctls::path) is allowed.
const PATH: &str = "/etc/cni/tuning/allowlist.conf";
/// As many bytes as the file may have.
const LIMIT: usize = 1 << 20;

/// The expressions, where the node has a list.
pub(crate) struct Allowlist(Option<Vec<Regex>>);

impl Allowlist {
    /// Reads the node's list.
    ///
    /// # Errors
    /// When it is there but cannot be read, or a line is not a regular expression.
    pub fn read() -> Result<Self> {
        match read_regular(Path::new(PATH), LIMIT, SymbolicLinks::Follow) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self(None)),
            Err(error) => Err(Failure::new(code::IO_FAILURE, format!("cannot read {PATH}: {error}")).into()),
            Ok(text) => Self::parse(&String::from_utf8_lossy(&text)),
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
        let expressions = lines.map(|(number, line)| {
            let invalid =
                |error| format!("{PATH}, line {}: {line:?} is not a regular expression: {error}", number + 1);
            Regex::new(line).map_err(|error| Failure::new(code::INTERNAL, invalid(error)))
        });
        Ok(Self(Some(expressions.collect::<std::result::Result<_, _>>()?)))
    }

    /// Refuses a key that no line matches, in the reference's words.
    pub fn check(&self, key: &str) -> Result<()> {
        let Some(expressions) = &self.0 else { return Ok(()) };
        if expressions.iter().any(|expression| expression.is_match(key)) {
            return Ok(());
        }
        let list = expressions.iter().map(Regex::as_str).collect::<Vec<_>>().join(" ");
        let sentence =
            format!("Sysctl {key} is not allowed. Only the following sysctls are allowed: [{list}]");
        Err(Failure { details: PATH.to_owned(), ..Failure::new(code::INVALID_CONFIG, sentence) }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_allowed_when_a_line_matches_it() {
        let list =
            Allowlist::parse("^net.core.somaxconn$\n\n  ^net\\.ipv4\\.conf\\.IFNAME\\.(rp|arp)_filter$ \n")
                .unwrap();
        for key in ["net.core.somaxconn", "net/core/somaxconn", "net.ipv4.conf.IFNAME.arp_filter"] {
            list.check(key).unwrap();
        }
        for key in ["net.core.somaxconn2", "net.ipv4.conf.eth0.arp_filter", "net.ipv4.ip_forward"] {
            let error = list.check(key).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("^net.core.somaxconn$"), "{error}");
        }
        Allowlist::parse("tcp").unwrap().check("net.ipv4.tcp_fin_timeout").unwrap();
        Allowlist::parse("").unwrap().check("net.core.somaxconn").unwrap_err();
        Allowlist(None).check("net.core.somaxconn").unwrap();
    }

    #[test]
    fn a_line_that_is_not_an_expression_is_named() {
        let error = Allowlist::parse("net\n\n(net").map(drop).unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("(net"), "{error}");
    }
}
