//! Kernel parameters: from a key of the config to a file below `/proc/sys/net`.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use attachment::Result;
use cni::{Failure, code};
use linux::{Namespace, sysctl};

/// Stands in a key for the name of the pod's interface.
const INTERFACE: &str = "IFNAME";

/// Returns the path below `/proc/sys` that a key means: `net.ipv4.conf.eth0/1.rp_filter` is
/// `net/ipv4/conf/eth0.1/rp_filter`. As sysctl(8) reads it, the first of `.` and `/` separates, and the other one stands for
/// a dot in a name.
///
/// # Errors
/// When the key leads out of `net`, which is the part that each network namespace has for itself.
pub(crate) fn path(key: &str, interface: &str) -> Result<String> {
    let separator = key.find(['.', '/']).map(|at| &key[at..=at]);
    let path = if separator == Some(".") { name(key) } else { key.to_owned() };
    let path = if interface.is_empty() { path } else { path.replacen(INTERFACE, interface, 1) };
    if is_in_net(&path) {
        return Ok(path);
    }
    let allowed = "a parameter of network namespaces, whose names begin with net.";
    Err(Failure::invalid_value("sysctl", format_args!("{key:?}"), allowed).into())
}

/// Tells whether a path below `/proc/sys` stays in `net`.
pub(crate) fn is_in_net(path: &str) -> bool {
    path.strip_prefix("net/").is_some_and(|rest| !rest.split('/').any(|part| matches!(part, "" | "." | "..")))
}

/// Returns the parameter's name, with the dots and slashes of its path exchanged.
pub(crate) fn name(path: &str) -> String {
    let exchange = |letter| match letter {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    path.chars().map(exchange).collect()
}

/// Returns the values that the parameters in `wanted` have in `namespace`. One that the kernel does not show has none:
/// `net.ipv4.route.flush` is write-only, and `net.ipv6.conf.NAME.stable_secret` has no value before it is set.
///
/// # Errors
/// When the namespace has no such parameter.
pub(crate) fn read(
    namespace: &Namespace,
    wanted: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>> {
    let read = || Ok(wanted.keys().map(|path| sysctl::get(path)).collect::<Vec<_>>());
    let mut values = BTreeMap::new();
    for ((path, value), found) in wanted.iter().zip(namespace.enter(read)?) {
        match found {
            Ok(found) => drop(values.insert(path.clone(), found)),
            Err(linux::Error::Sysctl { source, .. }) if source.kind() != ErrorKind::NotFound => {}
            Err(_) => return Err(absent(path, value).into()),
        }
    }
    Ok(values)
}

/// Sets the parameters in `namespace` by `set`, also after one that is refused. Those of all interfaces come first, for the
/// kernel passes them on to each interface.
pub(crate) fn set(
    namespace: &Namespace,
    values: &BTreeMap<String, String>,
    set: fn(&str, &str) -> linux::Result<()>,
) -> Result<Vec<Failure>> {
    let is_of_all = |(path, _): &(&String, &String)| path.contains("/all/") || path.contains("/default/");
    let (of_all, others): (Vec<_>, Vec<_>) = values.iter().partition(is_of_all);
    let set_all = || {
        let refused = of_all.into_iter().chain(others).filter_map(|(path, value)| {
            let error = set(path, value).err()?;
            Some(refusal(path, value, error))
        });
        Ok(refused.collect())
    };
    Ok(namespace.enter(set_all)?)
}

/// Tells whether `shown` by the kernel is `value`: it separates the numbers of a list by tabs.
pub(crate) fn is_same(value: &str, shown: &str) -> bool {
    value.split_whitespace().eq(shown.split_whitespace())
}

fn absent(path: &str, value: &str) -> Failure {
    let key = format_args!("sysctl.{}", name(path)).to_string();
    let problem = format_args!(
        "cannot be set to {value:?}: a pod's network namespace has no such parameter (this kernel has none, or only \
         the host has it)"
    )
    .to_string();
    Failure::invalid_key(key, problem)
}

fn refusal(path: &str, value: &str, error: linux::Error) -> Failure {
    let linux::Error::Sysctl { source, .. } = error else {
        return Failure::new(code::INTERNAL, error.to_string());
    };
    let sentence = format!("sysctl.{}: cannot be set to {value:?}: {source}", name(path));
    let code = match source.kind() {
        ErrorKind::InvalidInput | ErrorKind::PermissionDenied => code::INVALID_CONFIG,
        _ => code::INTERNAL,
    };
    Failure::new(code, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_sysctl_reads_it() {
        for (key, interface, wanted) in [
            ("net.core.somaxconn", "eth0", "net/core/somaxconn"),
            ("net/core/somaxconn", "eth0", "net/core/somaxconn"),
            ("net.ipv4.conf.eth0/1.rp_filter", "eth0", "net/ipv4/conf/eth0.1/rp_filter"),
            ("net/ipv4/conf/eth0.1/rp_filter", "eth0", "net/ipv4/conf/eth0.1/rp_filter"),
            ("net.ipv4.conf.IFNAME.rp_filter", "eth0.1", "net/ipv4/conf/eth0.1/rp_filter"),
            ("net/ipv4/conf/IFNAME/rp_filter", "net1", "net/ipv4/conf/net1/rp_filter"),
            ("net.ipv4.conf.IFNAME.rp_filter", "", "net/ipv4/conf/IFNAME/rp_filter"),
        ] {
            assert_eq!(path(key, interface).unwrap(), wanted, "{key}");
            assert_eq!(path(&name(wanted), interface).unwrap(), wanted);
        }
    }

    #[test]
    fn a_key_that_leads_out_of_net_is_refused() {
        for key in [
            "",
            "net",
            "net.",
            "kernel.hostname",
            "kernel/net/x",
            "net/../kernel/hostname",
            "net.ipv4.//.//.kernel.hostname",
            "net/./core/somaxconn",
            "net//core/somaxconn",
            "/net/core/somaxconn",
            "/proc/sys/net/core/somaxconn",
            "../net/core/somaxconn",
            "network.core",
        ] {
            let error = path(key, "eth0").unwrap_err().to_string();
            assert!(error.contains(&format!("{key:?}")), "{error}");
        }
    }

    #[test]
    fn a_list_is_compared_by_its_numbers() {
        assert!(is_same("1024 65000", "1024\t65000") && is_same("1", "1\n"));
        assert!(!is_same("1024 65000", "1024\t65001") && !is_same("1", "11"));
    }
}
