//! What the reference plugin left, and how it is recognised.
//!
//! | made by | in table | of the pod's own |
//! |---|---|---|
//! | `iptables-nft` | `ip nat`, `ip6 nat` | chain `CNI-DN-…`, and rules of `CNI-HOSTPORT-DNAT` that lead there, with a comment |
//! | its nftables backend | `ip cni_hostport`, `ip6 cni_hostport` | rules with the container ID as their comment |
//!
//! The names are those of its plugins/meta/portmap/portmap_iptables.go and portmap_nftables.go.

use cni::Request;
use linux::{Attempts, Error, Result};
use nft::{Batch, Nftables, Rule, Table, TableFamily};
use nix::errno::Errno;

const FAMILIES: [TableFamily; 2] = [TableFamily::Ipv4, TableFamily::Ipv6];
const DISPATCH: &str = "CNI-HOSTPORT-DNAT";
const OWN_CHAIN: &str = "CNI-DN-";

/// What a rule says of its pod.
pub(crate) struct Left<'a> {
    /// None where the nftables backend made it.
    pub network: Option<&'a str>,
    pub container_id: &'a str,
}

impl Left<'_> {
    /// Returns whether it is of this container in this network. A container in two networks has ports of both, and the
    /// rules of the nftables backend do not name the network.
    pub fn is_of(&self, request: &Request) -> bool {
        self.container_id == request.container_id()
            && self.network.is_none_or(|network| network == request.network)
    }
}

/// Removes what pods left that are `gone`, of each table at once, and returns what could not be removed.
pub(crate) fn remove(nftables: &mut Nftables, gone: impl Fn(&Left<'_>) -> bool) -> Vec<Error> {
    let mut errors = Vec::new();
    for family in FAMILIES {
        let table = Table { family, name: "nat" };
        errors.extend(remove_from(nftables, table, Some(DISPATCH), &gone).err());
        let table = Table { family, name: "cni_hostport" };
        errors.extend(remove_from(nftables, table, None, &gone).err());
    }
    errors
}

/// Returns whether the reference forwards ports to the request's container.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn serves(nftables: &mut Nftables, request: &Request) -> nft::Result<bool> {
    for family in FAMILIES {
        for (name, chain) in [("nat", Some(DISPATCH)), ("cni_hostport", None)] {
            let rules = nftables.rules(Table { family, name }, chain)?;
            if rules.iter().filter_map(|rule| left(chain, rule)).any(|left| left.is_of(request)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn remove_from(
    nftables: &mut Nftables,
    table: Table,
    chain: Option<&str>,
    gone: impl Fn(&Left<'_>) -> bool,
) -> Result<()> {
    let operation = format_args!("remove what the reference's portmap left in table {table}");
    let mut attempts = Attempts::default();
    loop {
        let rules = match nftables.rules(table, chain) {
            Err(failed) if failed.is_missing_subsystem() => return Ok(()),
            rules => rules.map_err(|failed| failed.during(operation))?,
        };
        let own = rules.iter().filter(|rule| left(chain, rule).is_some_and(|left| gone(&left)));
        let mut batch = Batch::new(table);
        let mut chains: Vec<&str> = Vec::new();
        for rule in own {
            batch.delete_rule(&rule.chain, rule.handle);
            let leads_to = rule.leads_to.as_deref().filter(|name| name.starts_with(OWN_CHAIN));
            chains.extend(leads_to.filter(|name| !chains.contains(name)));
        }
        if batch.last() == 0 {
            return Ok(());
        }
        for chain in chains {
            batch.flush_chain(chain);
            batch.delete_chain(chain);
        }
        match nftables.transact(batch) {
            Ok(()) => return Ok(()),
            // Another process removed some of it.
            Err(failed) if failed.is(Errno::ENOENT) && attempts.next().is_some() => {}
            Err(failed) => return Err(failed.during(operation)),
        }
    }
}

/// Reads a rule's comment: `dnat name: "NETWORK" id: "CONTAINER"` in the chain of iptables, else a container ID.
fn left<'a>(chain: Option<&str>, rule: &'a Rule) -> Option<Left<'a>> {
    let comment = rule.comment.as_deref()?;
    if chain.is_none() {
        return Some(Left { network: None, container_id: comment });
    }
    let (network, id) = comment.strip_prefix("dnat name: \"")?.rsplit_once("\" id: \"")?;
    Some(Left { network: Some(network), container_id: id.strip_suffix('"')? })
}
