//! The addresses that `host-local` holds on this node: audited, released.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use host_local::{Audit, Evidence, Holder, Network, Reserved, State};

use crate::error::{Error, Result};
use crate::networks::{Folders, Networks};

/// The networks of `host-local`, with the evidence of which addresses are in use, gathered once for all of them.
pub struct Addresses {
    /// The networks of this node.
    pub networks: Vec<Network>,
    /// The configurations that could not be read, as sentences. Their networks may be missing, or without ranges.
    pub unread: Vec<String>,
    /// The interfaces, addresses and cached results of this node.
    pub evidence: Evidence,
}

/// The reservations that are to be released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Those of an address.
    Address(IpAddr),
    /// Those of the container with this ID.
    Container(String),
}

impl Addresses {
    /// Finds the networks and gathers the evidence; with `network` only the network of that name.
    ///
    /// # Errors
    /// When a folder cannot be read; when no network has the name.
    pub fn look(folders: &Folders, network: Option<&str>) -> Result<Self> {
        let Networks { networks, unread } = Networks::find(folders, network)?;
        Ok(Self { networks, unread, evidence: Evidence::gather() })
    }

    /// Compares the reservations of `network` with the evidence. A reservation that is younger than `min_age` may
    /// belong to an ADD that still runs, and is not called leaked.
    ///
    /// # Errors
    /// When the reservations cannot be read.
    pub fn audit(&self, network: &Network, min_age: Duration) -> Result<Audit> {
        Audit::of(network, &self.evidence, min_age).map_err(failed(network))
    }

    /// Finds the reservations of `network` for an address or a container, none of which is in use.
    ///
    /// # Errors
    /// When one is in use, or was reserved just now; when the reservations cannot be read.
    pub fn releasable(&self, network: &Network, wanted: &Wanted) -> Result<Vec<Reserved>> {
        let mut found = self.audit(network, Duration::ZERO)?.reservations;
        found.retain(|reserved| wanted.names(reserved));
        if let Some(used) =
            found.iter().find(|reserved| matches!(reserved.state, State::Attached | State::Idle))
        {
            let place = match used.carriers.is_empty() {
                true => "the alias of an interface names its attachment".to_owned(),
                false => used.places().join(", "),
            };
            return Err(Error::Other(format!(
                "{} is in use ({place}); detach the container instead, and its DEL releases the address",
                used.address
            )));
        }
        if let Some(recent) = found.iter().find(|reserved| reserved.state == State::Recent) {
            let address = recent.address;
            return Err(Error::Other(format!(
                "{address} was reserved just now; look again before you release it"
            )));
        }
        Ok(found)
    }
}

/// Releases those of the reservations that did not change since they were audited, and returns how many.
///
/// # Errors
/// Names those that could not be removed; the others are released.
pub fn release(network: &Network, reservations: &[Reserved]) -> Result<usize> {
    Ok(network.release(reservations).map_err(failed(network))?.len())
}

fn failed(network: &Network) -> impl FnOnce(cni::Failure) -> Error {
    |failure| Error::Other(format!("network {}: {failure}", network.name))
}

impl Wanted {
    fn names(&self, reserved: &Reserved) -> bool {
        match (self, &reserved.holder) {
            (Self::Address(address), _) => *address == reserved.address,
            (
                Self::Container(wanted),
                Holder::Attachment { container_id, .. } | Holder::Container { container_id },
            ) => wanted == container_id,
            (Self::Container(_), Holder::Unknown | Holder::Empty) => false,
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Container(id) => write!(f, "container {id}"),
        }
    }
}
