//! The table, and the objects of each subnet: created before the first pod, and kept.
//!
//! Several processes may create them at once, and on top of what a killed one left: to create them again changes nothing.
//! Only a base chain that is added again costs some ten milliseconds, when the socket is closed; so it is added only when
//! something is missing.

use std::net::Ipv4Addr;

use ipnetwork::{IpNetwork, Ipv4Network};
use linux::{Attempts, Family, Feature, Result, are_available, in_new_namespace};
use nft::{
    Batch, Chain, ChainHook, ChainType, Comparison, Data, DataType, Element, Field, HookPoint, Nftables, Set,
    Side, Table, TableFamily, TableState, UserData, Values, unsettled,
};
use nix::errno::Errno;

use super::record::Holder;
use super::subnet::{Subnet, multicast};

/// The table of the masquerading.
pub const TABLE: Table = Table { family: TableFamily::Inet, name: "weir" };
pub const ATTACHMENTS: &str = "attachments";
pub const OWNERS: &str = "owners";
pub const POSTROUTING: &str = "postrouting";

/// Creates the missing objects for pods of `subnet`, in one transaction.
///
/// Existing objects are read first: a transaction that the kernel refuses waits for an RCU grace period.
pub fn create_subnet(nftables: &mut Nftables, subnet: Subnet) -> Result<()> {
    let feature = Feature::NftablesNat;
    let operation = format_args!("create the masquerading of subnet {} in nf_tables", subnet.network());
    for () in Attempts::default() {
        let needs = missing_for(nftables, subnet).map_err(|failed| failed.missing(feature, operation))?;
        let (batch, features) = declare(subnet, needs);
        match nftables.transact(batch) {
            Ok(()) => return Ok(()),
            // These messages name only objects that the batch creates: an unknown name is a missing feature.
            Err(failed) if failed.is(Errno::ENOENT) && !features.contains(&failed.message()) => {}
            // Another process was faster.
            Err(failed) if failed.is(Errno::EEXIST) => {}
            Err(failed) => return Err(failed.missing(feature, operation)),
        }
        if subnet.is_host() && nftables.has_set(TABLE, &subnet.pods()).is_ok_and(|exists| exists) {
            return Ok(());
        }
    }
    Err(unsettled(operation, TABLE))
}

/// Checks whether the kernel has nf_tables with address translation and masquerading. Loads their modules if they are
/// installed; changes nothing else.
///
/// A rule in use proves it, and so do the modules. Otherwise a subnet is made in a network namespace that ends with the
/// call: a dry run takes several times as long, for the kernel waits for an RCU grace period to undo it.
///
/// # Errors
/// [`Error::MissingFeature`](linux::Error::MissingFeature) when the kernel cannot;
/// [`Error::Refused`](linux::Error::Refused) with `EPERM` when the caller may not ask.
pub fn probe(nftables: &mut Nftables) -> Result<()> {
    if nftables.rules(TABLE, None).is_ok_and(|rules| rules.iter().any(|rule| rule.masquerades))
        || are_available(&["nf_tables", "nft_chain_nat", "nft_masq"])
    {
        return Ok(());
    }
    let subnet = Subnet::of(IpNetwork::V4(Ipv4Network::from(Ipv4Addr::LOCALHOST)));
    in_new_namespace(|| create_subnet(&mut Nftables::open()?, subnet))?
}

fn missing_for(nftables: &mut Nftables, subnet: Subnet) -> nft::Result<Needs> {
    let table = !nftables.has_chain(TABLE, POSTROUTING)?;
    let dispatch = !subnet.is_host() && (table || !nftables.has_set(TABLE, &subnet.dispatch())?);
    Ok(Needs { table, dispatch })
}

/// Missing objects that subnets share.
#[derive(Clone, Copy)]
struct Needs {
    table: bool,
    dispatch: bool,
}

/// Returns the transaction that creates a subnet, and the indices of the messages that need a feature of the kernel.
fn declare(subnet: Subnet, needs: Needs) -> (Batch, Vec<usize>) {
    let mut batch = Batch::new(TABLE);
    let mut features = Vec::new();
    if needs.table {
        features.push(table(&mut batch));
    }
    if needs.dispatch {
        dispatch(&mut batch, subnet);
    }
    features.push(if subnet.is_host() { hosts(&mut batch, subnet) } else { inner(&mut batch, subnet) });
    (batch, features)
}

/// Adds the table, its two fixed sets and the base chain. Returns the index of the last.
fn table(batch: &mut Batch) -> usize {
    batch.add_table(TableState::Active, "pod networks, kept by weir");
    let digest = &[DataType::MARK; nft::Digest::LEN / 4];
    let comment = "key: digest of the owner, in the comment: network/container ID/interface";
    batch.add_set(&Set::new(ATTACHMENTS, digest, comment));
    let values = Values::Data(&[DataType::MARK; Holder::LEN / 4]);
    let comment = "address (IPv4 mapped): digest of the owner . prefix length";
    batch.add_set(&Set { values, ..Set::new(OWNERS, &[DataType::IPV6_ADDRESS], comment) });
    let hook = ChainHook::new(ChainType::Nat, HookPoint::Postrouting, nix::libc::NF_IP_PRI_NAT_SRC);
    let comment = "one rule per prefix length in use";
    batch.add_chain(&Chain { name: POSTROUTING, hook: Some(hook), comment })
}

/// Adds the map of all subnets with one prefix length, and its rule. The rule cannot double, because the map is created
/// once.
fn dispatch(batch: &mut Batch, subnet: Subnet) {
    let (family, map) = (subnet.family(), subnet.dispatch());
    batch.create_set(&Set { values: Values::Verdict, ..of_addresses(family, &map, "subnets of pods") });
    batch.add_rule(POSTROUTING, &UserData::of_comment("to the chain of the source's subnet"), |rule| {
        rule.is_of_family(family);
        rule.load(&[Field::Address(family, Side::Source)]);
        rule.mask(&nft::octets(subnet.network().mask()));
        rule.decide_by(&map);
    });
}

/// Adds the set of one subnet's pods, its chain with the masquerading rule, and the jump to it. Flushes the chain first, so
/// that it has exactly one rule. Returns that rule's index.
fn inner(batch: &mut Batch, subnet: Subnet) -> usize {
    let chain = subnet.chain();
    batch.add_set(&of_addresses(subnet.family(), &subnet.pods(), "pods"));
    batch.add_chain(&Chain { name: &chain, hook: None, comment: "packets of a subnet of pods" });
    batch.flush_chain(&chain);
    let way = Element::new(subnet.dispatch(), nft::octets(subnet.network().ip()));
    batch.add_element(&Element { data: Data::Jump(chain.clone()), ..way });
    masquerade(batch, subnet, &chain)
}

/// Adds the set of pods without a subnet and its rule, once.
fn hosts(batch: &mut Batch, subnet: Subnet) -> usize {
    batch.create_set(&of_addresses(subnet.family(), &subnet.pods(), "pods without a subnet"));
    masquerade(batch, subnet, POSTROUTING)
}

fn masquerade(batch: &mut Batch, subnet: Subnet, chain: &str) -> usize {
    let family = subnet.family();
    let own = (!subnet.is_host()).then(|| subnet.network());
    batch.add_rule(chain, &UserData::of_comment("pods leave with the node's address"), |rule| {
        rule.is_of_family(family);
        rule.load(&[Field::Address(family, Side::Source)]);
        rule.is_in(&subnet.pods());
        for kept in own.into_iter().chain([multicast(family)]) {
            rule.load(&[Field::Address(family, Side::Destination)]);
            rule.mask(&nft::octets(kept.mask()));
            rule.compare(Comparison::Different, &nft::octets(kept.ip()));
        }
        rule.masquerade();
    })
}

fn of_addresses<'a>(family: Family, name: &'a str, comment: &'a str) -> Set<'a> {
    let key: &[DataType] = match family {
        Family::V4 => &[DataType::IPV4_ADDRESS],
        Family::V6 => &[DataType::IPV6_ADDRESS],
    };
    Set::new(name, key, comment)
}
