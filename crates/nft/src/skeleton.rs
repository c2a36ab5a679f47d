//! What stands in the table before the first pod: declared once, found there ever after.
//!
//! Every transaction here may run in many processes at once and over what another one left: the table and a
//! subnet are declared so that declaring them again changes nothing. Only declaring a base chain again is
//! dear (its closing socket waits some ten milliseconds), so it happens only when something is missing.

use netlink_packet_core::NLM_F_EXCL;
use nix::errno::Errno;

use super::batch::Batch;
use super::expressions::{Comparison, Side};
use super::objects::{self, ChainKind, Data, DataType, NFT_MSG_GETCHAIN, NFT_MSG_GETSET, Values};
use super::records::Holder;
use super::subnet::{Subnet, multicast, octets};
use super::{Failed, Nftables, unsettled};
use crate::table::{Table, TableFamily};
use linux::Attempts;
use linux::Family;
use linux::{Error, Feature, Result};

/// The table of the masquerading.
pub(crate) const TABLE: Table = Table { family: TableFamily::Inet, name: "weir" };
pub(crate) const ATTACHMENTS: &str = "attachments";
pub(crate) const OWNERS: &str = "owners";
pub(crate) const POSTROUTING: &str = "postrouting";

impl Nftables {
    /// Makes what pods of `subnet` need, as far as it is missing, in one transaction.
    ///
    /// What is there is read first rather than found out by a refusal: undoing a refused transaction waits
    /// for an RCU grace period.
    pub(crate) fn create_subnet(&mut self, subnet: Subnet) -> Result<()> {
        let operation = format_args!("create the masquerading of subnet {} in nf_tables", subnet.network());
        for () in Attempts::default() {
            let needs = self.missing_for(subnet).map_err(|failed| missing(failed.during(operation)))?;
            let (batch, features) = declare(subnet, needs);
            match self.transact(batch) {
                Ok(()) => return Ok(()),
                // All that these messages name is declared before them: an unknown name is the feature's.
                Err(failed) if failed.is(Errno::ENOENT) && !features.contains(&failed.message) => {}
                // Another process was faster.
                Err(failed) if failed.is(Errno::EEXIST) => {}
                Err(failed) => return Err(missing(failed.during(operation))),
            }
            if subnet.is_host()
                && self.exists(TABLE, NFT_MSG_GETSET, &subnet.pods()).is_ok_and(|exists| exists)
            {
                return Ok(());
            }
        }
        Err(unsettled(operation, TABLE))
    }

    fn missing_for(&mut self, subnet: Subnet) -> std::result::Result<Needs, Failed> {
        let table = !self.exists(TABLE, NFT_MSG_GETCHAIN, POSTROUTING)?;
        let dispatch =
            !subnet.is_host() && (table || !self.exists(TABLE, NFT_MSG_GETSET, &subnet.dispatch())?);
        Ok(Needs { table, dispatch })
    }

    /// Whether the table has the chain or set of this name.
    pub(crate) fn exists(
        &mut self,
        table: Table,
        kind: u16,
        name: &str,
    ) -> std::result::Result<bool, Failed> {
        match self.read(table, kind, 0, |request| objects::named(request, kind, name), |_| {}) {
            // The latter: a name longer than any can be.
            Err(failed) if failed.is(Errno::ENOENT) || failed.is(Errno::ERANGE) => Ok(false),
            outcome => outcome.map(|()| true),
        }
    }
}

/// What a subnet lacks beside its own objects.
#[derive(Clone, Copy)]
struct Needs {
    table: bool,
    dispatch: bool,
}

/// The transaction that makes a subnet, and the indices of the messages that need a feature of the kernel.
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

/// Which refusals of a declaration mean that the kernel was built without something: `ENOENT` an unknown
/// chain type or expression, `EOPNOTSUPP` and `EAFNOSUPPORT` no nf_tables or no family inet.
pub(crate) fn missing(error: Error) -> Error {
    error.or_missing(Feature::NftablesNat, &[Errno::ENOENT, Errno::EOPNOTSUPP, Errno::EAFNOSUPPORT])
}

/// The table, what it always has, and as the last of it the base chain, whose index is returned.
fn table(batch: &mut Batch) -> usize {
    objects::table(batch, false, "pod networks, kept by weir");
    let digest = DataType::opaque(4);
    let comment = "key: digest of the owner, in the comment: network/container ID/interface";
    objects::set(batch, 0, ATTACHMENTS, digest, Values::None, comment);
    let holder = DataType::opaque(5);
    debug_assert_eq!(Holder::LEN, 20);
    let comment = "address (IPv4 mapped): digest of the owner . prefix length";
    objects::set(batch, 0, OWNERS, DataType::IPV6_ADDRESS, Values::Data(holder), comment);
    objects::chain(batch, POSTROUTING, ChainKind::SourceNat, "one rule per prefix length in use")
}

/// The map of all subnets with one prefix length, and the rule that asks it. The rule cannot double: it comes
/// with the map, and the map comes once.
fn dispatch(batch: &mut Batch, subnet: Subnet) {
    let (family, map) = (subnet.family(), subnet.dispatch());
    objects::set(batch, NLM_F_EXCL, &map, address_type(family), Values::Verdict, "subnets of pods");
    objects::rule(batch, POSTROUTING, "to the chain of the source's subnet", |rule| {
        rule.of_family(family);
        rule.load_address(family, Side::Source);
        rule.mask(subnet.network().mask());
        rule.decide_by(&map);
    });
}

/// The set of one subnet's pods, its chain with the masquerading rule, and the way there. Emptying the chain
/// first makes sure of exactly one rule. Returns that rule's index.
fn inner(batch: &mut Batch, subnet: Subnet) -> usize {
    let chain = subnet.chain();
    let network = octets(subnet.network().ip());
    objects::set(batch, 0, &subnet.pods(), address_type(subnet.family()), Values::None, "pods");
    objects::chain(batch, &chain, ChainKind::Regular, "packets of a subnet of pods");
    objects::flush_chain(batch, &chain);
    objects::add_element(batch, 0, &subnet.dispatch(), &network, Data::Jump(&chain), &[]);
    masquerade(batch, subnet, &chain)
}

/// The set of pods without a subnet and the rule for them, which come together and once.
fn hosts(batch: &mut Batch, subnet: Subnet) -> usize {
    let keys = address_type(subnet.family());
    objects::set(batch, NLM_F_EXCL, &subnet.pods(), keys, Values::None, "pods without a subnet");
    masquerade(batch, subnet, POSTROUTING)
}

fn masquerade(batch: &mut Batch, subnet: Subnet, chain: &str) -> usize {
    let family = subnet.family();
    let own = (!subnet.is_host()).then(|| subnet.network());
    objects::rule(batch, chain, "pods leave with the node's address", |rule| {
        rule.of_family(family);
        rule.load_address(family, Side::Source);
        rule.is_in(&subnet.pods());
        for kept in own.into_iter().chain([multicast(family)]) {
            rule.load_address(family, Side::Destination);
            rule.mask(kept.mask());
            rule.compare(Comparison::Different, &octets(kept.ip()));
        }
        rule.masquerade();
    })
}

fn address_type(family: Family) -> DataType {
    match family {
        Family::V4 => DataType::IPV4_ADDRESS,
        Family::V6 => DataType::IPV6_ADDRESS,
    }
}
