//! The objects of the Go reference plugins in nf_tables for a pod that they attached, and how they are recognised.
//!
//! | made for | in table | of the pod's own |
//! |---|---|---|
//! | `ipMasq`, by `iptables-nft` | `ip nat`, `ip6 nat` | chain `CNI-…`, and rules of `POSTROUTING` that lead there |
//! | `ipMasq`, by its nftables backend | `inet cni_plugins_masquerade` | rules of `masq_checks` |
//! | `macspoofchk` | `bridge nat` | chains `cni-br-iface-…` and `cni-br-iface-…-mac`, and a rule of `PREROUTING` |
//!
//! The names are those of their pkg/utils/utils.go, pkg/ip/ipmasq_nftables_linux.go and pkg/link/spoofcheck.go.

use cni::{Request, ValidAttachment};
use linux::{Family, legacy_nat_in_use};
use nft::{Nftables, Table, TableFamily};
use sha2::{Digest, Sha512};

use crate::config::Asked;
use crate::error::Error;
use crate::host_end::{CANDIDATES, HostEnd};
use crate::leftovers::{self, Leftover};
use crate::silent_pair::is_in_result;

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
const NFTABLES_BACKEND: Table = Table { family: TableFamily::Inet, name: "cni_plugins_masquerade" };
const MASQ_CHECKS: &str = "masq_checks";
const POSTROUTING: &str = "POSTROUTING";
/// Hexadecimal digits of each of the two hashes in the nftables backend's comments.
const HASH_LEN: usize = 16;

/// The program that attached a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Maker {
    /// Weir.
    Weir,
    /// Another program, such as the reference plugin.
    Another,
    /// Neither a pair nor a result is there.
    Unknown,
}

impl Maker {
    /// Reads `prevResult`: the host's ends that weir makes have names of their own.
    pub(crate) fn by_result(request: &Request) -> Self {
        let attachment = request.attachment();
        let Some(previous) = &request.prev_result else { return Self::Unknown };
        let candidate = |attempt| HostEnd::candidate(&attachment, attempt).name;
        if previous.interfaces.is_empty() {
            Self::Unknown
        } else if (0..CANDIDATES).any(|attempt| is_in_result(request, &candidate(attempt))) {
            Self::Weir
        } else {
            Self::Another
        }
    }
}

/// Removes what a pod of this maker left, and returns what could not be removed. For an unknown maker only what the
/// config asks for is looked up.
pub(crate) fn remove(
    nftables: Option<&mut Nftables>,
    request: &Request,
    maker: Maker,
    asked: Asked,
) -> Vec<Error> {
    let likely = match maker {
        Maker::Weir => return Vec::new(),
        Maker::Another => Asked { ip_masq: true, macspoofchk: true },
        Maker::Unknown => asked,
    };
    let (container_id, interface) = (request.container_id(), request.interface());
    let mut errors = Vec::new();
    let mut is_masqueraded = false;
    if let Some(nftables) = nftables {
        let masquerades = likely.ip_masq.then(|| masquerades(&request.network, container_id, interface));
        for leftover in masquerades.iter().flatten() {
            match leftovers::remove(nftables, leftover) {
                Ok(found) => is_masqueraded |= found,
                Err(error) => errors.push(error.into()),
            }
        }
        if likely.macspoofchk {
            errors.extend(
                leftovers::remove(nftables, &spoof_check(container_id, interface)).err().map(Error::from),
            );
        }
    }
    if !is_masqueraded && asked.ip_masq {
        FAMILIES
            .into_iter()
            .filter(|family| legacy_nat_in_use(*family))
            .for_each(|family| note_legacy(request, family));
    }
    errors
}

/// Removes what pods of the network left that are not valid, and returns what could not be removed. Spoof checks stay:
/// they do not name their network.
pub(crate) fn collect(nftables: &mut Nftables, network: &str, valid: &[ValidAttachment]) -> Vec<Error> {
    let (mut left, mut errors) = (Vec::new(), Vec::new());
    let mut comments = |table, chain| {
        leftovers::comments(nftables, table, chain).unwrap_or_else(|error| {
            errors.push(error.into());
            Vec::new()
        })
    };
    for family in FAMILIES {
        for comment in comments(iptables(family), POSTROUTING) {
            let is_valid = |id: &str| valid.iter().any(|valid| valid.container_id == id);
            let gone = container_of(&comment, network).filter(|id| !is_valid(id));
            left.extend(gone.map(|container_id| iptables_masquerade(family, network, container_id)));
        }
    }
    let is_valid = |comment: &str| {
        valid
            .iter()
            .any(|valid| comment.starts_with(&instance_hash(network, &valid.container_id, &valid.interface)))
    };
    let of_network = format!("{}-", hash(HASH_LEN, network));
    for comment in comments(NFTABLES_BACKEND, MASQ_CHECKS) {
        if comment.starts_with(&of_network) && !is_valid(&comment) {
            left.push(backend_masquerade(comment));
        }
    }
    errors.extend(left.iter().filter_map(|left| leftovers::remove(nftables, left).err().map(Error::from)));
    errors
}

fn masquerades(network: &str, container_id: &str, interface: &str) -> [Leftover<'static>; 3] {
    let [ipv4, ipv6] = FAMILIES.map(|family| iptables_masquerade(family, network, container_id));
    [ipv4, ipv6, backend_masquerade(instance_hash(network, container_id, interface))]
}

fn iptables(family: Family) -> Table {
    let family = match family {
        Family::V4 => TableFamily::Ipv4,
        Family::V6 => TableFamily::Ipv6,
    };
    Table { family, name: "nat" }
}

fn iptables_masquerade(family: Family, network: &str, container_id: &str) -> Leftover<'static> {
    Leftover {
        table: iptables(family),
        shared_chain: POSTROUTING,
        chains: vec![iptables_chain(network, container_id)],
        comment: iptables_comment(network, container_id),
    }
}

fn backend_masquerade(comment: String) -> Leftover<'static> {
    Leftover { table: NFTABLES_BACKEND, shared_chain: MASQ_CHECKS, chains: Vec::new(), comment }
}

fn spoof_check(container_id: &str, interface: &str) -> Leftover<'static> {
    let chain = format!("cni-br-iface-{container_id}-{interface}");
    Leftover {
        table: Table { family: TableFamily::Bridge, name: "nat" },
        shared_chain: "PREROUTING",
        chains: vec![chain.clone(), format!("{chain}-mac")],
        comment: format!("macspoofchk-{container_id}-{interface}"),
    }
}

fn iptables_chain(network: &str, container_id: &str) -> String {
    format!("CNI-{}", hash(24, &format!("{network}{container_id}")))
}

fn iptables_comment(network: &str, container_id: &str) -> String {
    format!("name: \"{network}\" id: \"{container_id}\"")
}

/// Returns the container of a comment that [`iptables_comment`] gives.
fn container_of<'a>(comment: &'a str, network: &str) -> Option<&'a str> {
    comment.strip_prefix(&format!("name: \"{network}\" id: \""))?.strip_suffix('"')
}

/// Returns the beginning of the nftables backend's comments.
fn instance_hash(network: &str, container_id: &str, interface: &str) -> String {
    format!("{}-{}", hash(HASH_LEN, network), hash(HASH_LEN, &format!("{interface}:{container_id}")))
}

/// Returns the first `length` hexadecimal digits of the SHA-512.
fn hash(length: usize, text: &str) -> String {
    let digest = Sha512::digest(text.as_bytes());
    digest.iter().flat_map(|byte| [byte >> 4, byte & 15]).take(length).map(hex_digit).collect()
}

fn hex_digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0')
}

fn note_legacy(request: &Request, family: Family) {
    let command = match family {
        Family::V4 => "iptables-legacy -t nat",
        Family::V6 => "ip6tables-legacy -t nat",
    };
    let chain = iptables_chain(&request.network, request.container_id());
    let comment = iptables_comment(&request.network, request.container_id());
    let is_of_family = |ip: &&cni::IpConfig| ip.address.is_ipv4() == matches!(family, Family::V4);
    let previous = request.prev_result.iter().flat_map(|previous| &previous.ips);
    let mut sources: Vec<_> = previous.filter(is_of_family).map(|ip| ip.address.ip().to_string()).collect();
    if sources.is_empty() {
        sources.push("THE_PODS_ADDRESS".to_owned());
    }
    let jumps: String = sources
        .iter()
        .map(|source| {
            format!("{command} -D POSTROUTING -s {source} -m comment --comment '{comment}' -j {chain}; ")
        })
        .collect();
    cni::note(format_args!(
        "{}: container {} has no masquerading in nf_tables; if the reference plugin attached it by way of iptables-legacy, chain {chain} is still there, which weir cannot reach. To remove it: {jumps}{command} -F {chain}; {command} -X {chain}",
        request.plugin(),
        request.container_id(),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_reference_gave() {
        // Observed: version 1.1.1, network "mynet", container "aaa".
        assert_eq!(iptables_chain("mynet", "aaa"), "CNI-210a30de30dc75815ac53f2f");
        assert_eq!(iptables_comment("mynet", "aaa"), r#"name: "mynet" id: "aaa""#);
    }

    #[test]
    fn a_comment_of_another_network_names_no_container_of_ours() {
        assert_eq!(container_of(&iptables_comment("mynet", "aaa"), "mynet"), Some("aaa"));
        assert_eq!(container_of(&iptables_comment("mynet2", "aaa"), "mynet"), None);
        assert_eq!(container_of("CNI portfwd requiring masquerade", "mynet"), None);
    }
}
