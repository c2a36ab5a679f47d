//! ADD: the pod's rules, then the record of them.

use std::net::IpAddr;

use attachment::{Result, claimant};
use cni::{AddResult, Failure, Request, code};
use linux::{Attempts, Family};
use nft::{Batch, Claimant, Nftables, unsettled};
use nix::errno::Errno;

use crate::config::{IngressPolicy, Settings, addresses, bridge_and_port, host_end};
use crate::isolation::{self, Isolation};
use crate::record::{self, Record, TABLE};
use crate::rules::{self, Accept, Handle};
use crate::{del, iptables};

/// Everything that the config asks for.
pub(crate) struct Wanted {
    pub claimant: Claimant,
    pub addresses: Vec<IpAddr>,
    pub isolation: Option<Isolation>,
    pub admin_chain: String,
    host_end: Option<String>,
}

impl Wanted {
    /// # Errors
    /// With an invalid key, or one that the result of the plugins before does not serve.
    pub(crate) fn of(request: &Request, result: &AddResult) -> Result<Self> {
        let Settings { admin_chain, ingress_policy } = Settings::of(request)?;
        let isolation = match ingress_policy {
            IngressPolicy::Open => None,
            policy => {
                let (bridge, port) = bridge_and_port(result)?;
                let is_full = policy == IngressPolicy::Isolated;
                Some(Isolation { bridge: bridge.to_owned(), port: port.to_owned(), is_full })
            }
        };
        Ok(Self {
            claimant: claimant(request),
            addresses: addresses(Some(result)),
            isolation,
            admin_chain,
            host_end: host_end(result).map(str::to_owned),
        })
    }

    pub(crate) fn families(&self) -> impl Iterator<Item = Family> {
        let has = |family: &Family| self.addresses.iter().any(|it| Family::of_address(*it) == *family);
        iptables::FAMILIES.into_iter().filter(has)
    }

    fn record(&self, rules: Vec<Handle>) -> Record {
        let is_isolated = self.isolation.as_ref().is_some_and(|isolation| isolation.is_full);
        Record { rules, host_end: self.host_end.clone(), is_isolated }
    }
}

/// The rules come first: the kernel tells their handles, by which DEL finds them among those of all pods. What a killed
/// ADD leaves has its claimant in user data, and a record without handles.
pub(crate) fn add(request: &Request) -> Result<AddResult> {
    let result = request.prev_result.clone().ok_or_else(Failure::not_chained)?;
    let wanted = Wanted::of(request, &result)?;
    let nothing = vec![Handle { family: Family::V6, number: 0 }; wanted.addresses.len() * 2];
    if wanted.record(nothing).element(&wanted.claimant).is_none() {
        let sentence =
            format!("the pod has {} addresses, more than firewall can keep", wanted.addresses.len());
        return Err(Failure::new(code::INTERNAL, sentence).into());
    }
    if wanted.addresses.is_empty() && wanted.isolation.is_none() {
        return Ok(result);
    }
    let mut nftables = Nftables::open()?;
    let handles = accept(&mut nftables, &wanted)?;
    if let Err(error) = write(&mut nftables, &wanted, &wanted.record(handles)) {
        if let Err(error) = del::remove(&mut nftables, &wanted.claimant, &[], None) {
            cni::note(format_args!("firewall: while taking back a failed ADD: {error}"));
        }
        return Err(error);
    }
    Ok(result)
}

/// Adds the pod's rules and returns their handles. The same transaction records that they are without a handle yet, so
/// that a later call looks for them, and deletes what an earlier ADD made.
fn accept(nftables: &mut Nftables, wanted: &Wanted) -> Result<Vec<Handle>> {
    let operation = format_args!("accept what is forwarded for {}", wanted.claimant);
    let accepts: Vec<_> = wanted.addresses.iter().copied().flat_map(Accept::of).collect();
    for () in Attempts::default() {
        for family in wanted.families() {
            iptables::ensure(nftables, family, &wanted.admin_chain)?;
        }
        let mut batch = Batch::new(TABLE);
        replace_record(&mut batch, wanted, &wanted.record(Vec::new()));
        delete_former(nftables, wanted, &mut batch).map_err(|failed| failed.during(operation))?;
        accepts.iter().for_each(|accept| accept.add(&mut batch, &wanted.claimant));
        match nftables.transact_for_handles(batch) {
            Ok(numbers) if numbers.len() < accepts.len() => return search(nftables, wanted),
            Ok(numbers) => {
                let of = |(accept, number): (&Accept, u64)| Handle { family: accept.family(), number };
                return Ok(accepts.iter().zip(numbers).map(of).collect());
            }
            // Another process deleted the chain or a rule, or there is no table of weir's.
            Err(failed) if failed.is(Errno::ENOENT) => record::create_table(nftables)?,
            Err(failed) => return Err(failed.missing(iptables::FEATURE, operation).into()),
        }
    }
    Err(unsettled(operation, iptables::table(Family::V4)).into())
}

/// Deletes the rules of an earlier ADD, and its isolated port unless the pod keeps it.
fn delete_former(nftables: &mut Nftables, wanted: &Wanted, batch: &mut Batch) -> nft::Result<()> {
    let Some(former) = record::find(nftables, &wanted.claimant)? else { return Ok(()) };
    let is_kept = |port: &&str| {
        wanted.isolation.as_ref().is_some_and(|isolation| isolation.is_full && isolation.port == **port)
    };
    if let Some(port) = former.isolated_port().filter(|port| !is_kept(port)) {
        isolation::delete_port_of(nftables, batch, port, &wanted.claimant)?;
    }
    let rules = del::rules(nftables, Some(&former), &wanted.claimant, &wanted.addresses)?;
    rules::delete(batch, rules);
    Ok(())
}

fn replace_record(batch: &mut Batch, wanted: &Wanted, record: &Record) {
    batch.turn_to(TABLE);
    if let Some(element) = record.element(&wanted.claimant) {
        batch.delete_expected(&element);
        batch.create_element(&element);
    }
}

/// Looks for the pod's rules, of which the kernel lost a message.
fn search(nftables: &mut Nftables, wanted: &Wanted) -> Result<Vec<Handle>> {
    let mut handles = Vec::new();
    for family in wanted.families() {
        let found = rules::search(nftables, family, &wanted.claimant, &[])
            .map_err(|failed| failed.during(format_args!("list what is accepted for {}", wanted.claimant)))?;
        handles.extend(found.iter().map(|(handle, _)| *handle));
    }
    Ok(handles)
}

/// Writes the record and the elements of the ingress policy, in one transaction.
fn write(nftables: &mut Nftables, wanted: &Wanted, record: &Record) -> Result<()> {
    let operation = format_args!("record what is accepted for {}", wanted.claimant);
    let mut replaces = false;
    for () in Attempts::default() {
        let mut batch = Batch::new(TABLE);
        replace_record(&mut batch, wanted, record);
        if let Some(isolation) = &wanted.isolation {
            isolation.add(&mut batch, &wanted.claimant, replaces);
        }
        match nftables.transact(batch) {
            Ok(()) => return Ok(()),
            Err(failed) if failed.is(Errno::ENOENT) => {
                Isolation::create_tables(wanted.isolation.as_ref(), nftables)?;
            }
            Err(failed) if failed.is_conflict() => replaces = true,
            Err(failed) => return Err(failed.during(operation).into()),
        }
    }
    Err(unsettled(operation, TABLE).into())
}
