//! Taking ports and giving them back, each in one transaction that proves whose they are.

use attachment::Result;
use cni::{Failure, code};
use linux::Attempts;
use nft::{Batch, Claim, Data, Digest, Nftables, unsettled};
use nix::errno::Errno;

use crate::forward::Forward;
use crate::record::Record;
use crate::table::{self, Needs, TABLE};

/// Gives the record's owner exactly its ports: those that it had before are given back in the same transaction. Ports
/// of a pod that is gone are taken over. Returns the records that this replaced.
///
/// # Errors
/// When a port belongs to another pod, with that pod's name; the kernel's refusal. Then nothing was changed, but that
/// ports of pods that are gone may be free.
pub(crate) fn take(nftables: &mut Nftables, record: &Record, needs: &Needs<'_>) -> Result<Vec<Record>> {
    let operation = format_args!("forward ports to {}", record.owner);
    let mut replaced: Vec<Record> = Vec::new();
    let mut former: Option<Record> = None;
    for () in Attempts::default() {
        match nftables.transact(transaction(record, former.as_ref())) {
            Ok(()) => {
                replaced.extend(former);
                return Ok(replaced);
            }
            Err(failed) if failed.is(Errno::ENOENT) => table::create(nftables, needs)?,
            Err(failed) if failed.is_conflict() => {
                let failed = |failed: nft::Failed| failed.during(operation);
                for forward in &record.forwards {
                    replaced.extend(free(nftables, record, forward)?);
                }
                match Record::find(nftables, record.owner.digest).map_err(failed)? {
                    // Another pod has some of it by now.
                    Some(found) if former.as_ref() == Some(&found) => {
                        give_back(nftables, &found).map_err(failed)?;
                        replaced.extend(former.take());
                    }
                    found => former = found,
                }
                for claim in record.pod_claims() {
                    replaced.extend(free_pod(nftables, &claim).map_err(failed)?);
                }
            }
            Err(failed) => return Err(failed.during(operation).into()),
        }
    }
    Err(unsettled(operation, TABLE).into())
}

fn transaction(record: &Record, former: Option<&Record>) -> Batch {
    let mut batch = Batch::new(TABLE);
    if let Some(former) = former {
        for claim in former.claims() {
            batch.give_back(&claim);
        }
        batch.delete_expected(&former.head());
    }
    record.claims().iter().for_each(|claim| batch.take(claim));
    batch.create_element(&record.head());
    batch
}

/// Frees a port of the host that a pod has which is gone, with all that the table has of it.
fn free(nftables: &mut Nftables, record: &Record, forward: &Forward) -> Result<Option<Record>> {
    let operation = format_args!("take over {}", forward.name());
    let failed = |failed: nft::Failed| failed.during(operation);
    let claim = forward.port_claim(record.owner.digest);
    let Some(holder) = other_holder(nftables, &claim).map_err(failed)? else { return Ok(None) };
    match Record::find(nftables, holder).map_err(failed)? {
        Some(other) if other.is_alive()? => Err(taken(forward, &other).into()),
        Some(other) => {
            give_back(nftables, &other).map_err(failed)?;
            Ok(Some(other))
        }
        None => {
            drop_orphan(nftables, &forward.port_claim(holder)).map_err(failed)?;
            Ok(None)
        }
    }
}

/// Frees a port of the pod's address: who had the address before has it no more.
fn free_pod(nftables: &mut Nftables, claim: &Claim) -> nft::Result<Option<Record>> {
    let Some(holder) = other_holder(nftables, claim)? else { return Ok(None) };
    let Some(other) = Record::find(nftables, holder)? else {
        let holder = claim.holder.clone().with_data(holder.0);
        drop_orphan(nftables, &Claim { holder, ..claim.clone() })?;
        return Ok(None);
    };
    if other.is_alive().is_ok_and(|is_alive| !is_alive) {
        give_back(nftables, &other)?;
        return Ok(Some(other));
    }
    let mut claims = other.pod_claims().into_iter();
    if let Some(theirs) = claims.find(|theirs| theirs.holder.key == claim.holder.key) {
        let mut batch = Batch::new(TABLE);
        batch.give_back(&theirs);
        unless_changed(nftables.transact(batch))?;
    }
    Ok(None)
}

fn other_holder(nftables: &mut Nftables, claim: &Claim) -> nft::Result<Option<Digest>> {
    let own = &claim.holder.data;
    let holder = holder(nftables, claim)?;
    Ok(holder.filter(|holder| *own != Data::Value(holder.0.to_vec())))
}

fn taken(forward: &Forward, other: &Record) -> Failure {
    let owner = other.owner.to_string();
    let [network, container_id, interface] = owner.splitn(3, '/').collect::<Vec<_>>()[..] else {
        return Failure::new(code::INTERNAL, format!("{} is forwarded to {owner} already", forward.name()));
    };
    Failure::new(
        code::INTERNAL,
        format!(
            "{} is forwarded to container {container_id} already (interface {interface}, network {network}), which is still there",
            forward.name()
        ),
    )
}

/// Returns the owner of a claim's key.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn holder(nftables: &mut Nftables, claim: &Claim) -> nft::Result<Option<Digest>> {
    let read = |element: nft::FoundElement<'_>| element.data().try_into().ok().map(Digest);
    nftables.element(TABLE, &claim.holder.set, &claim.holder.key, read).map(Option::flatten)
}

/// Gives back all ports of a record. Ports that another pod has by now stay.
///
/// # Errors
/// The kernel's refusal.
pub(crate) fn give_back(nftables: &mut Nftables, record: &Record) -> nft::Result<()> {
    nftables.give_back(TABLE, &record.head(), record.claims(), &[])
}

/// Deletes the elements of a claim whatever they lead to: their record was deleted by hand.
fn drop_orphan(nftables: &mut Nftables, claim: &Claim) -> nft::Result<()> {
    let mut batch = Batch::new(TABLE);
    batch.delete_expected(&claim.holder);
    for element in &claim.elements {
        if nftables.element(TABLE, &element.set, &element.key, |_| ())?.is_some() {
            batch.delete_element(&element.set, &element.key);
        }
    }
    unless_changed(nftables.transact(batch))
}

/// Another process may do the same, or take the key.
fn unless_changed(outcome: nft::Result<()>) -> nft::Result<()> {
    match outcome {
        Err(failed) if failed.is(Errno::ENOENT) || failed.is_conflict() => Ok(()),
        outcome => outcome,
    }
}
