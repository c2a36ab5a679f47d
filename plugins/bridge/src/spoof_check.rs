//! `macspoofchk`: a pod sends with the hardware address that it was attached with, and with no other.
//!
//! As in the reference, that is the address at the time of ADD: if a later plugin of the chain changes it, every frame
//! of the pod is dropped.
//!
//! The output of `nft list table bridge weir` for a pod of network `podnet`:
//!
//! ```text
//! table bridge weir {
//!     set checked-ports {
//!         type ifname
//!         elements = { "veth1c2d3e4f" comment "podnet/3fd…/eth0" }
//!     }
//!     set allowed-sources {
//!         type ifname . ether_addr
//!         elements = { "veth1c2d3e4f" . 0a:58:0a:01:00:07 comment "podnet/3fd…/eth0" }
//!     }
//!     chain prerouting {
//!         type filter hook prerouting priority -300; policy accept;
//!         iifname @checked-ports iifname . ether saddr != @allowed-sources counter drop
//!     }
//! }
//! ```
//!
//! One rule serves all pods: a frame costs one lookup, a frame of a checked port two. Adding and removing a pod touches
//! one element of each set. A port's element has its claimant and the allowed address in user data.

use attachment::{HostEnd, Result, claimant, differs};
use cni::{Failure, Request, code};
use linux::{Attempts, Feature, Link, Mac, are_available, in_new_namespace};
use nft::{
    Batch, Chain, ChainHook, ChainType, Claimant, DataType, Element, Field, FoundElement, HookPoint,
    Nftables, Set, Table, TableFamily, TableState, UserData, Verdict, unsettled,
};
use nix::errno::Errno;

const TABLE: Table = Table { family: TableFamily::Bridge, name: "weir" };
const PORTS: &str = "checked-ports";
const SOURCES: &str = "allowed-sources";
const PREROUTING: &str = "prerouting";
/// Kind of user data.
const HARDWARE_ADDRESS: u8 = 0x88;

/// Drops frames from `port` with another source address than `mac`, of every protocol. Replaces an earlier entry of the
/// port. Called before the pod's end is up, so that no other frame ever passes.
///
/// Equivalent to `nft add element bridge weir checked-ports { PORT }` and `… allowed-sources { PORT . MAC }`. Creates
/// the table if it does not exist.
///
/// # Errors
/// The kernel's refusal, also when the kernel has no nf_tables for bridges.
pub(crate) fn install(request: &Request, port: &Link, mac: Mac) -> Result<()> {
    Ok(Nftables::open()
        .and_then(|mut nftables| add(&mut nftables, &claimant(request), &port.name, mac))
        .map_err(failed)?)
}

/// Removes the attachment's check of `port`; without one, of the port that the attachment usually has.
pub(crate) fn remove(nftables: &mut Nftables, request: &Request, port: Option<&str>) -> Result<()> {
    let usual = HostEnd::candidate(&request.attachment(), 0).name;
    remove_of(nftables, &claimant(request), port.unwrap_or(&usual))
}

/// Removes the claimant's check of `port`. Not an error if there is none, also in a kernel without nf_tables.
///
/// Equivalent to `nft delete element bridge weir …` on both elements.
pub(crate) fn remove_of(nftables: &mut Nftables, claimant: &Claimant, port: &str) -> Result<()> {
    let operation = format_args!("stop checking source addresses of frames from {port}");
    let mac = match found(nftables, port) {
        Ok(Some((found, mac))) if found.digest == claimant.digest => mac,
        Ok(_) => return Ok(()),
        Err(refused) if refused.is_missing_subsystem() => return Ok(()),
        Err(refused) => return Err(failed(refused.during(operation)).into()),
    };
    let mut batch = Batch::new(TABLE);
    delete(&mut batch, port, Some(mac));
    match nftables.transact(batch) {
        // The table was deleted by hand.
        Err(refused) if !refused.is(Errno::ENOENT) => Err(failed(refused.during(operation)).into()),
        _ => Ok(()),
    }
}

/// CHECK: frames of `port` are checked for this attachment, with the address of ADD, and the rule is in place.
pub(crate) fn check(request: &Request, port: &Link) -> Result<()> {
    let operation = format_args!("look at the check of frames from {}", port.name);
    let fault = Nftables::open()
        .and_then(|mut nftables| {
            fault(&mut nftables, &claimant(request), &port.name).map_err(|failed| failed.during(operation))
        })
        .map_err(failed)?;
    fault.map_or(Ok(()), |fault| differs(format_args!("macspoofchk: {fault}")))
}

/// Returns the claimants with checked frames, each with its port, for GC.
///
/// Equivalent to `nft list set bridge weir checked-ports`.
pub(crate) fn list(nftables: &mut Nftables) -> Result<Vec<(Claimant, String)>> {
    let listed = |port: FoundElement<'_>| {
        let (claimant, _) = read_port(port.user_data())?;
        let name = port.key().split(|byte| *byte == 0).next().unwrap_or_default();
        Some((claimant, String::from_utf8_lossy(name).into_owned()))
    };
    let listed = nftables
        .elements(TABLE, PORTS, listed)
        .map_err(|refused| failed(refused.during(format_args!("list the ports with checked frames"))))?;
    Ok(listed)
}

/// Returns the failure of a request that the kernel refused.
fn failed(error: linux::Error) -> Failure {
    Failure::new(code::INTERNAL, format!("macspoofchk: {error}"))
}

/// Checks whether the kernel has nf_tables for bridges. Changes nothing.
///
/// A rule in use proves it, and so does a module that needs the family, which is not a module itself. Otherwise the
/// table is created in a network namespace that ends with the call.
///
/// # Errors
/// [`linux::Error::MissingFeature`] when the kernel cannot; [`linux::Error::Refused`] with `EPERM` when the caller may
/// not ask.
pub(crate) fn probe(nftables: &mut Nftables) -> linux::Result<()> {
    if nftables.rules(TABLE, None).is_ok_and(|rules| rules.iter().any(|rule| rule.drops))
        || ["nft_meta_bridge", "nft_reject_bridge"].iter().any(|module| are_available(&["nf_tables", module]))
    {
        return Ok(());
    }
    in_new_namespace(|| create(&mut Nftables::open()?))?
}

fn add(nftables: &mut Nftables, claimant: &Claimant, port: &str, mac: Mac) -> linux::Result<()> {
    let operation = format_args!("check source addresses of frames from {port}");
    let record = UserData::of_claimant(claimant).with(HARDWARE_ADDRESS, &mac.0);
    let mut earlier = None;
    for () in Attempts::default() {
        let mut batch = Batch::new(TABLE);
        if let Some(mac) = earlier {
            delete(&mut batch, port, mac);
        }
        batch.create_element(&Element::new(PORTS, name_key(port)).with_user_data(&record));
        let comment = UserData::of_comment(&claimant.comment);
        batch.add_element(&Element::new(SOURCES, source_key(port, mac)).with_user_data(&comment));
        match nftables.transact(batch) {
            Ok(()) => return Ok(()),
            Err(failed) if failed.is(Errno::ENOENT) => create(nftables)?,
            Err(failed) if failed.is_conflict() => {
                let found = found(nftables, port).map_err(|failed| failed.during(operation))?;
                earlier = Some(found.map(|(_, mac)| mac));
            }
            Err(failed) => return Err(failed.missing(Feature::NftablesBridge, operation)),
        }
    }
    Err(unsettled(operation, TABLE))
}

/// Returns why frames of a port are not checked; `None` if they are.
fn fault(nftables: &mut Nftables, claimant: &Claimant, port: &str) -> nft::Result<Option<String>> {
    let Some((_, mac)) = found(nftables, port)?.filter(|(found, _)| found.digest == claimant.digest) else {
        let fault = format!("frames of the port are not checked (nf_tables, set {PORTS} of {TABLE})");
        return Ok(Some(fault));
    };
    if nftables.element(TABLE, SOURCES, &source_key(port, mac), |_| ())?.is_none() {
        return Ok(Some(format!(
            "no frame of the port may pass: {mac} is gone (nf_tables, set {SOURCES} of {TABLE})"
        )));
    }
    let rules = nftables.rules(TABLE, Some(PREROUTING))?;
    if rules.iter().any(|rule| rule.drops && rule.sets == [PORTS, SOURCES]) {
        return Ok(None);
    }
    Ok(Some(format!(
        "the rule of chain {PREROUTING} is gone (nf_tables, {TABLE}), for other pods too; after nft delete table \
         {TABLE}, pods that are attached anew are checked again"
    )))
}

/// Returns the claimant of a port and its allowed source address; `None` also for an element that is not weir's.
fn found(nftables: &mut Nftables, port: &str) -> nft::Result<Option<(Claimant, Mac)>> {
    let found = nftables.element(TABLE, PORTS, &name_key(port), |found| read_port(found.user_data()))?;
    Ok(found.flatten())
}

fn read_port(user_data: &[u8]) -> Option<(Claimant, Mac)> {
    let mac = UserData::find(user_data, HARDWARE_ADDRESS)?.try_into().ok()?;
    Some((UserData::claimant(user_data)?, Mac(mac)))
}

/// Creates the table with its one rule. The rule cannot double, because the sets are created once.
fn create(nftables: &mut Nftables) -> linux::Result<()> {
    let mut batch = Batch::new(TABLE);
    batch.add_table(TableState::Active, "source addresses of pods' frames, kept by weir");
    let comment = "in the comments: network/container ID/interface";
    batch.create_set(&Set::new(PORTS, &[DataType::INTERFACE_NAME], comment));
    let key = &[DataType::INTERFACE_NAME, DataType::HARDWARE_ADDRESS];
    batch.create_set(&Set::new(SOURCES, key, comment));
    // Before everything else that a bridge does with a frame.
    let priority = nix::libc::NF_BR_PRI_NAT_DST_BRIDGED;
    let hook = ChainHook::new(ChainType::Filter, HookPoint::Prerouting, priority);
    batch.add_chain(&Chain { name: PREROUTING, hook: Some(hook), comment: "one rule for all pods" });
    batch.add_rule(PREROUTING, &UserData::of_comment("pods send with their own address only"), |rule| {
        rule.load(&[Field::InputLinkName]);
        rule.is_in(PORTS);
        rule.load_at(4, Field::SourceHardwareAddress);
        rule.is_not_in(SOURCES);
        rule.count();
        rule.decide(Verdict::Drop);
    });
    match nftables.transact(batch) {
        // Another process was faster.
        Err(failed) if failed.is(Errno::EEXIST) => Ok(()),
        outcome => outcome.map_err(|failed| {
            failed.missing(Feature::NftablesBridge, format_args!("create nf_tables table {TABLE}"))
        }),
    }
}

/// Deletes a port and its allowed source address, if they exist.
fn delete(batch: &mut Batch, port: &str, mac: Option<Mac>) {
    if let Some(mac) = mac {
        batch.delete_expected(&Element::new(SOURCES, source_key(port, mac)));
    }
    batch.delete_expected(&Element::new(PORTS, name_key(port)));
}

/// Returns a name as a key, filled up with zeros.
fn name_key(port: &str) -> [u8; nix::libc::IFNAMSIZ] {
    let mut key = [0; nix::libc::IFNAMSIZ];
    key.iter_mut().zip(port.bytes()).for_each(|(to, from)| *to = from);
    key
}

fn source_key(port: &str, mac: Mac) -> Vec<u8> {
    [name_key(port).as_slice(), &mac.0, &[0; 2]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_of_a_key_fills_whole_registers() {
        assert_eq!(name_key("veth1c2d3e4f"), *b"veth1c2d3e4f\0\0\0\0");
        let key = source_key("veth0", Mac([2, 0, 0, 0, 0, 1]));
        assert_eq!(key, *b"veth0\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0\x01\0\0");
    }
}
