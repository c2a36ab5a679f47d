//! Frames from a port of a bridge must have the pod's hardware address as their source.
//!
//! What `nft list table bridge weir` shows for a pod of network `podnet`:
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
//! One rule for all pods: a frame costs a lookup, one of a checked port two; adding and removing a pod touches one
//! element of each set. A port's element carries its owner and the allowed address in user data.

use netlink_packet_core::NLM_F_EXCL;
use nix::errno::Errno;

use super::batch::Batch;
use super::objects::{self, ChainKind, Data, DataType, Element, Values};
use super::owner::{Digest, Owner};
use super::records;
use super::{Attachment, Failed, Nftables, unsettled};
use crate::table::{Table, TableFamily};
use linux::Attempts;
use linux::Mac;
use linux::{Error, Feature, Result};

pub(crate) const TABLE: Table = Table { family: TableFamily::Bridge, name: "weir" };
const PORTS: &str = "checked-ports";
const SOURCES: &str = "allowed-sources";
const PREROUTING: &str = "prerouting";
/// `IFNAMSIZ` (uapi/linux/if.h): a name fills the key with zeros.
const NAME_LEN: usize = 16;

/// Why frames of an attachment are not checked as they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpoofCheckFault {
    /// The port is not in the set of those that are checked, or is there for another attachment.
    #[error("frames of the port are not checked (nf_tables, set {PORTS} of bridge weir)")]
    PortMissing,
    /// The port is checked and nothing may pass.
    #[error("no frame of the port may pass: {0} is gone (nf_tables, set {SOURCES} of bridge weir)")]
    SourceMissing(Mac),
    /// The rule was removed.
    #[error(
        "the rule of chain {PREROUTING} is gone (nf_tables, bridge weir), for other pods too; after nft delete table bridge weir, pods that are attached anew are checked again"
    )]
    RuleMissing,
}

impl Nftables {
    /// From now on drops what comes in by `port` of a bridge (at most 15 bytes) with another source address than
    /// `mac`: every frame, whatever its protocol. An earlier entry of this port gives way.
    ///
    /// The effect of `nft add element bridge weir checked-ports { PORT }` and `… allowed-sources { PORT . MAC }`,
    /// and of creating the table when it is not there.
    ///
    /// # Errors
    /// [`Error::MissingFeature`] when the kernel has no nf_tables for bridges, [`Error::Refused`] and
    /// [`Error::Netlink`] for the rest.
    pub fn add_spoof_check(&mut self, owner: &Owner<'_>, port: &str, mac: Mac) -> Result<()> {
        let operation = format_args!("check source addresses of frames from {port}");
        let mut earlier = None;
        for () in Attempts::default() {
            let mut batch = Batch::new(TABLE);
            if let Some(mac) = earlier {
                remove(&mut batch, port, mac);
            }
            let text = owner.comment();
            let record = records::port(&text, owner.digest(), mac);
            objects::add_element(&mut batch, NLM_F_EXCL, PORTS, &name_key(port), Data::None, &record);
            let comment = records::comment(&text);
            objects::add_element(&mut batch, 0, SOURCES, &source_key(port, mac), Data::None, &comment);
            match self.transact(batch) {
                Ok(()) => return Ok(()),
                Err(failed) if failed.is(Errno::ENOENT) => self.create_spoof_check()?,
                Err(failed) if failed.is_conflict() => {
                    let found = self.port(port).map_err(|failed| failed.during(operation))?;
                    earlier = Some(found.map(|(_, mac)| mac));
                }
                Err(failed) => return Err(missing(failed.during(operation))),
            }
        }
        Err(unsettled(operation, TABLE))
    }

    /// Checks frames of `port` no more, if that is the owner's; tells whether it was. Nothing there is no error,
    /// nor is a kernel without nf_tables.
    ///
    /// The effect of `nft delete element bridge weir …` on both elements.
    ///
    /// # Errors
    /// [`Error::Refused`] and [`Error::Netlink`].
    pub fn remove_spoof_check(&mut self, owner: &Owner<'_>, port: &str) -> Result<bool> {
        self.remove_port(owner.digest(), port)
    }

    /// As [`Nftables::remove_spoof_check`], for an attachment that [`Nftables::spoof_checks`] listed.
    ///
    /// # Errors
    /// [`Error::Refused`] and [`Error::Netlink`].
    pub fn remove_listed_spoof_check(&mut self, attachment: &Attachment, port: &str) -> Result<bool> {
        self.remove_port(attachment.digest, port)
    }

    /// Looks whether frames of `port` are checked for `owner`, with the address that was given first, and whether
    /// the rule is in place. `None` means that all is well.
    ///
    /// # Errors
    /// [`Error::Refused`] and [`Error::Netlink`].
    pub fn check_spoof_check(&mut self, owner: &Owner<'_>, port: &str) -> Result<Option<SpoofCheckFault>> {
        self.spoof_fault(owner.digest(), port)
            .map_err(|failed| failed.during(format_args!("look at the check of frames from {port}")))
    }

    /// All attachments whose frames are checked, each with its port: what a garbage collection compares with the
    /// attachments that still exist.
    ///
    /// The effect of `nft list set bridge weir checked-ports`.
    ///
    /// # Errors
    /// [`Error::Refused`] and [`Error::Netlink`].
    pub fn spoof_checks(&mut self) -> Result<Vec<(Attachment, String)>> {
        self.elements(TABLE, PORTS, listed)
            .map_err(|failed| failed.during(format_args!("list the ports whose frames are checked")))
    }

    fn remove_port(&mut self, owner: Digest, port: &str) -> Result<bool> {
        let operation = format_args!("check source addresses of frames from {port} no more");
        let mac = match self.port(port) {
            Ok(Some((found, mac))) if found == owner => mac,
            Ok(_) => return Ok(false),
            Err(failed) if failed.is_missing_subsystem() => return Ok(false),
            Err(failed) => return Err(failed.during(operation)),
        };
        let mut batch = Batch::new(TABLE);
        remove(&mut batch, port, Some(mac));
        match self.transact(batch) {
            Ok(()) => Ok(true),
            // Somebody deleted the table.
            Err(failed) if failed.is(Errno::ENOENT) => Ok(true),
            Err(failed) => Err(failed.during(operation)),
        }
    }

    fn spoof_fault(
        &mut self,
        owner: Digest,
        port: &str,
    ) -> std::result::Result<Option<SpoofCheckFault>, Failed> {
        let Some((_, mac)) = self.port(port)?.filter(|(found, _)| *found == owner) else {
            return Ok(Some(SpoofCheckFault::PortMissing));
        };
        if self.element(TABLE, SOURCES, &source_key(port, mac), |_| ())?.is_none() {
            return Ok(Some(SpoofCheckFault::SourceMissing(mac)));
        }
        let rules = self.rules(TABLE, Some(PREROUTING))?;
        let is_there = rules.iter().any(|rule| rule.drops && rule.sets == [PORTS, SOURCES]);
        Ok((!is_there).then_some(SpoofCheckFault::RuleMissing))
    }

    /// Whose a port is, and which source it may use; `None` also for an element that we did not write.
    fn port(&mut self, port: &str) -> std::result::Result<Option<(Digest, Mac)>, Failed> {
        let found =
            self.element(TABLE, PORTS, &name_key(port), |found| records::read_port(found.user_data()))?;
        Ok(found.flatten())
    }

    /// Makes the table with its one rule, which cannot double: it comes with the sets, and they come once.
    fn create_spoof_check(&mut self) -> Result<()> {
        let mut batch = Batch::new(TABLE);
        objects::table(&mut batch, false, "source addresses of pods' frames, kept by weir");
        let (name, address) = (DataType::INTERFACE_NAME, DataType::HARDWARE_ADDRESS);
        let comment = "in the comments: network/container ID/interface";
        objects::set(&mut batch, NLM_F_EXCL, PORTS, name, Values::None, comment);
        objects::set(&mut batch, NLM_F_EXCL, SOURCES, name.followed_by(address), Values::None, comment);
        objects::chain(&mut batch, PREROUTING, ChainKind::BridgePrerouting, "one rule for all pods");
        objects::rule(&mut batch, PREROUTING, "pods send with their own address only", |rule| {
            rule.load_input_interface();
            rule.is_in(PORTS);
            rule.load_source_hardware_address();
            rule.is_not_in(SOURCES);
            rule.count();
            rule.drop();
        });
        match self.transact(batch) {
            // Another process was faster.
            Err(failed) if failed.is(Errno::EEXIST) => Ok(()),
            outcome => outcome
                .map_err(|failed| missing(failed.during(format_args!("create nf_tables table {TABLE}")))),
        }
    }
}

/// Which refusals mean that the kernel was built without nf_tables for bridges.
pub(crate) fn missing(error: Error) -> Error {
    let refusals = [Errno::ENOENT, Errno::EOPNOTSUPP, Errno::EAFNOSUPPORT];
    error.or_missing(Feature::NftablesBridge, &refusals)
}

/// Removes a port and the source that it was allowed. What is gone is added first, so that it is no obstacle.
fn remove(batch: &mut Batch, port: &str, mac: Option<Mac>) {
    let source = mac.map(|mac| (SOURCES, source_key(port, mac)));
    for (set, key) in source.into_iter().chain([(PORTS, name_key(port).to_vec())]) {
        objects::add_element(batch, 0, set, &key, Data::None, &[]);
        objects::delete_element(batch, set, &key);
    }
}

fn listed(port: Element<'_>) -> Option<(Attachment, String)> {
    let (digest, _) = records::read_port(port.user_data())?;
    let name = port.key().split(|byte| *byte == 0).next().unwrap_or_default();
    Some((Attachment::of(digest, port.user_data()), String::from_utf8_lossy(name).into_owned()))
}

fn name_key(port: &str) -> [u8; NAME_LEN] {
    let mut key = [0; NAME_LEN];
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
    fn a_kernel_without_tables_for_bridges_is_told_by_its_option() {
        let refused = Error::refused("create a table".into(), Errno::EOPNOTSUPP, None);
        assert!(missing(refused).to_string().contains("CONFIG_NF_TABLES_BRIDGE"));
    }

    #[test]
    fn each_field_of_a_key_fills_whole_registers() {
        assert_eq!(name_key("veth1c2d3e4f"), *b"veth1c2d3e4f\0\0\0\0");
        let key = source_key("veth0", Mac([2, 0, 0, 0, 0, 1]));
        assert_eq!(key, *b"veth0\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0\x01\0\0");
    }
}
