//! The keys of a `firewall` config.

use std::net::IpAddr;

use attachment::Result;
use cni::{AddResult, Failure, Request};
use nix::libc::IFNAMSIZ;
use serde::Deserialize;

/// The chain for an administrator's rules, as the reference names it.
const ADMIN_CHAIN: &str = "CNI-ADMIN";
/// `XT_EXTENSION_MAXNAMELEN` without its zero byte: `iptables` reads no longer name.
const CHAIN_CAPACITY: usize = 28;

/// The targets of `iptables` and `ip6tables` (iptables-extensions(8)), which `-j` takes for no chain.
#[rustfmt::skip]
const TARGETS: &[&str] = &[
    "ACCEPT", "AUDIT", "CHECKSUM", "CLASSIFY", "CLUSTERIP", "CONNMARK", "CONNSECMARK", "CT", "DNAT", "DNPT", "DROP",
    "DSCP", "ECN", "HL", "HMARK", "IDLETIMER", "LED", "LOG", "MARK", "MASQUERADE", "NETMAP", "NFLOG", "NFQUEUE",
    "NOTRACK", "QUEUE", "RATEEST", "REDIRECT", "REJECT", "RETURN", "SECMARK", "SET", "SNAT", "SNPT", "SYNPROXY",
    "TCPMSS", "TCPOPTSTRIP", "TEE", "TOS", "TPROXY", "TRACE", "TTL", "ULOG",
];

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    backend: String,
    ingress_policy: String,
    iptables_admin_chain_name: String,
}

/// Which pods reach a pod through the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IngressPolicy {
    /// All.
    Open,
    /// Those behind its own bridge, and those behind bridges without a policy.
    SameBridge,
    /// As [`IngressPolicy::SameBridge`], without those behind its own bridge.
    Isolated,
}

/// The checked config.
pub(crate) struct Settings {
    pub admin_chain: String,
    pub ingress_policy: IngressPolicy,
}

impl Settings {
    /// Reads the keys.
    ///
    /// # Errors
    /// With the first invalid key.
    pub(crate) fn of(request: &Request) -> Result<Self> {
        let keys: Keys = request.config()?;
        match keys.backend.as_str() {
            "" | "iptables" | "nftables" => {}
            "firewalld" => {
                let problem = "\"firewalld\" is not supported; leave the key out, and give the pods' subnet to a zone: firewall-cmd --permanent --zone=trusted --add-source=SUBNET";
                return Err(Failure::invalid_key("backend", problem).into());
            }
            backend => {
                let value = format_args!("{backend:?}");
                return Err(Failure::invalid_value("backend", value, "iptables or nftables").into());
            }
        }
        let ingress_policy = match keys.ingress_policy.as_str() {
            "" | "open" => IngressPolicy::Open,
            "same-bridge" => IngressPolicy::SameBridge,
            "isolated" => IngressPolicy::Isolated,
            policy => {
                let (value, allowed) = (format_args!("{policy:?}"), "open, same-bridge or isolated");
                return Err(Failure::invalid_value("ingressPolicy", value, allowed).into());
            }
        };
        Ok(Self { admin_chain: admin_chain(keys.iptables_admin_chain_name)?, ingress_policy })
    }
}

fn admin_chain(name: String) -> Result<String> {
    const BUILT_IN: &[&str] = &["INPUT", "FORWARD", "OUTPUT", "CNI-FORWARD"];
    if name.is_empty() {
        return Ok(ADMIN_CHAIN.to_owned());
    }
    let is_name = name.len() <= CHAIN_CAPACITY
        && !name.starts_with('-')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if !is_name || [BUILT_IN, TARGETS].concat().contains(&name.as_str()) {
        let allowed = format_args!(
            "the name of a chain of its own, not of a target of iptables, of at most {CHAIN_CAPACITY} letters, digits, _ . and -"
        );
        return Err(
            Failure::invalid_value("iptablesAdminChainName", format_args!("{name:?}"), allowed).into()
        );
    }
    Ok(name)
}

/// Returns the pod's addresses, each once.
pub(crate) fn addresses(result: Option<&AddResult>) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> =
        result.iter().flat_map(|result| &result.ips).map(|ip| ip.address.ip()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// The host's interfaces up to the pod's own, as `bridge` and `ptp` list them. Later plugins add theirs at the end.
fn before_the_pods(result: &AddResult) -> Vec<&str> {
    let of_host = result.interfaces.iter().take_while(|interface| interface.sandbox.is_empty());
    of_host.map(|interface| interface.name.as_str()).filter(|name| !name.is_empty()).collect()
}

/// Returns the host's end of the pod's pair.
pub(crate) fn host_end(result: &AddResult) -> Option<&str> {
    before_the_pods(result).last().copied().filter(|name| name.len() < IFNAMSIZ)
}

/// Returns the bridge and its port.
///
/// # Errors
/// When the plugins before made none.
pub(crate) fn bridge_and_port(result: &AddResult) -> Result<(&str, &str)> {
    match before_the_pods(result)[..] {
        [bridge, .., port] if [bridge, port].iter().all(|name| name.len() < IFNAMSIZ) => Ok((bridge, port)),
        _ => {
            let problem = "needs a bridge, which prevResult does not name; chain firewall behind bridge";
            Err(Failure::invalid_key("ingressPolicy", problem).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_has_a_name_that_iptables_reads() {
        let accepted = |name: &str| admin_chain(name.to_owned()).is_ok();
        assert!(accepted("") && accepted("NOMAD-ADMIN") && accepted(&"a".repeat(28)));
        for name in [
            "FORWARD",
            "CNI-FORWARD",
            "DROP",
            "MASQUERADE",
            "-A",
            "!x",
            "a!",
            "a'b",
            "two words",
            "é",
            &"a".repeat(29),
        ] {
            assert!(!accepted(name), "{name}");
        }
    }

    #[test]
    fn the_port_is_the_hosts_interface_before_the_pods() {
        let interface = |name: &str, sandbox: &str| cni::Interface {
            name: name.to_owned(),
            sandbox: sandbox.to_owned(),
            ..cni::Interface::default()
        };
        let eth0 = interface("eth0", "/run/netns/1");
        let result = |interfaces| AddResult { interfaces, ..AddResult::default() };
        let of_bridge = ["cni0", "veth0"].map(|name| interface(name, ""));
        let limited = result([&of_bridge[..], &[eth0.clone(), interface("bwp0", "")]].concat());
        assert_eq!(bridge_and_port(&limited).ok(), Some(("cni0", "veth0")));
        assert_eq!(host_end(&limited), Some("veth0"));
        let of_ptp = result(vec![interface("veth0", ""), eth0.clone()]);
        assert_eq!((bridge_and_port(&of_ptp).ok(), host_end(&of_ptp)), (None, Some("veth0")));
        assert_eq!(host_end(&result(vec![eth0])), None);
    }
}
