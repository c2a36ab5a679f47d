//! The reservations of a network, compared with what is attached.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::error::Result;
use crate::evidence::{Carrier, Evidence};
use crate::holder::Holder;
use crate::listing::holder_at;
use crate::making;
use crate::network::Network;
use crate::stamp::FileIdentity;
use crate::store::{Seen, Store};

/// The ranges and reservations of a network.
pub struct Audit {
    /// Each range of the config.
    pub ranges: Vec<RangeSummary>,
    /// Each reservation, sorted by address.
    pub reservations: Vec<Reserved>,
}

/// The counts of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeSummary {
    /// First and last address, or a description in parentheses.
    pub range: String,
    /// How many addresses can be allocated; at most 2¹²⁸ − 1.
    pub size: u128,
    /// How many of them are reserved.
    pub held: u64,
    /// How many of them are not.
    pub free: u128,
    /// How many are reserved for attachments that do not exist.
    pub leaked: u64,
    /// How many reservations have no holder.
    pub torn: u64,
    /// How many reservations are duplicated; see [`Reserved::is_duplicated`].
    pub duplicated: u64,
}

/// A reservation.
pub struct Reserved {
    /// The address.
    pub address: IpAddr,
    /// Its holder.
    pub holder: Holder,
    /// Whether its holder exists.
    pub state: State,
    /// When the file was written.
    pub since: SystemTime,
    /// How long ago that is.
    pub held: Duration,
    /// The interfaces that have the address.
    pub carriers: Vec<Carrier>,
    /// Several interfaces have the address, several files reserve it, or the attachment has another address of the same
    /// range set.
    pub is_duplicated: bool,
    /// No range of the config contains it.
    pub is_outside: bool,
    path: PathBuf,
    identity: FileIdentity,
}

impl Reserved {
    /// Returns the interfaces that have the address, with their namespaces.
    pub fn places(&self) -> Vec<&str> {
        self.carriers.iter().map(|carrier| carrier.place.as_str()).collect()
    }
}

/// Whether the holder of a reservation exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// An interface has the address, or its alias names the holder.
    Attached,
    /// Attached, but its namespace has no processes: between two starts of its containers, or left over by a runtime.
    Idle,
    /// Not attached, but a runtime caches its result: DEL is still to come.
    Remembered,
    /// Not attached, but so recent that its ADD may be in progress.
    Recent,
    /// Not attached.
    Leaked,
    /// Not found attached, but not everything could be read.
    Uncertain,
    /// It has no holder: a killed ADD left it.
    Corrupt,
    /// Not in the reference's format, or not a regular file.
    Foreign,
}

impl State {
    /// Returns the word that the operator's commands print; scripts read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attached => "attached",
            Self::Idle => "idle",
            Self::Remembered => "remembered",
            Self::Recent => "young",
            Self::Leaked => "leaked",
            Self::Uncertain => "uncertain",
            Self::Corrupt => "torn",
            Self::Foreign => "foreign",
        }
    }
}

impl Audit {
    /// Compares the reservations of `network`, under their lock, with evidence that was gathered before. One that
    /// is younger than `youth` and not attached is [`State::Recent`].
    ///
    /// # Errors
    /// When the lock cannot be taken, or the directory cannot be read.
    pub fn of(network: &Network, evidence: &Evidence, youth: Duration) -> Result<Self> {
        let mut reservations = match Store::open(&network.directory, network.options)? {
            Some(store) => list(&store, network, evidence, youth)?,
            None => Vec::new(),
        };
        reservations.sort_by_key(|reserved| reserved.address);
        mark_duplicated(network, &mut reservations);
        let ranges = summaries(network, &reservations);
        Ok(Self { ranges, reservations })
    }

    /// Counts the addresses in namespaces without processes.
    pub fn idle(&self) -> usize {
        self.reservations.iter().filter(|reserved| reserved.state == State::Idle).count()
    }

    /// Returns whether a reservation is leaked, corrupt or duplicated.
    pub fn finds_fault(&self) -> bool {
        self.reservations.iter().any(|reserved| {
            reserved.is_duplicated || matches!(reserved.state, State::Leaked | State::Corrupt)
        })
    }
}

impl Network {
    /// Releases those of the reservations whose file is unchanged since the audit; returns their addresses.
    ///
    /// # Errors
    /// When reservations could not be removed; the others are.
    pub fn release(&self, reservations: &[Reserved]) -> Result<Vec<IpAddr>> {
        let Some(mut store) = Store::open(&self.directory, self.options)? else { return Ok(Vec::new()) };
        let seen = |reserved: &Reserved| Seen {
            address: reserved.address,
            path: reserved.path.clone(),
            identity: reserved.identity,
            holder: reserved.holder.clone(),
        };
        let (released, errors) = store.release_unchanged(reservations.iter().map(seen));
        cni::collected(errors).map(|()| released)
    }
}

fn list(store: &Store, network: &Network, evidence: &Evidence, youth: Duration) -> Result<Vec<Reserved>> {
    let now = SystemTime::now();
    let look = |reservation: crate::listing::Reservation| {
        let path = reservation.path(store.directory());
        let metadata = path.symlink_metadata().ok()?;
        let since = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let held = now.duration_since(since).unwrap_or_default();
        let (address, holder) = (reservation.address, holder_at(&path));
        let identity = FileIdentity::from(&metadata);
        let is_outside =
            !network.sets.is_empty() && !network.sets.iter().any(|set| set.range_of(address).is_some());
        let state = match holder {
            Holder::Empty => State::Corrupt,
            _ if making::is_in_progress(&path) => State::Recent,
            _ if held >= youth && evidence.is_without_process(&network.name, address, &holder) => State::Idle,
            _ if !evidence.carriers(address).is_empty() || evidence.has_pair(&network.name, &holder) => {
                State::Attached
            }
            Holder::Unknown => State::Foreign,
            _ if evidence.has_result(&holder) => State::Remembered,
            _ if held < youth || evidence.may_have_missed(since) => State::Recent,
            _ if evidence.is_complete() => State::Leaked,
            _ => State::Uncertain,
        };
        let carriers = evidence.carriers(address).to_vec();
        Some(Reserved {
            address,
            holder,
            state,
            since,
            held,
            carriers,
            is_duplicated: false,
            is_outside,
            path,
            identity,
        })
    };
    Ok(store.list()?.into_iter().filter_map(look).collect())
}

fn mark_duplicated(network: &Network, reservations: &mut [Reserved]) {
    let set_of = |address: IpAddr| network.sets.iter().position(|set| set.range_of(address).is_some());
    let mut files: HashMap<IpAddr, u32> = HashMap::new();
    let mut shares: HashMap<(String, usize), u32> = HashMap::new();
    let share = |reserved: &Reserved| match &reserved.holder {
        holder @ Holder::Attachment { .. } => set_of(reserved.address).map(|set| (holder.to_string(), set)),
        _ => None,
    };
    for reserved in reservations.iter() {
        *files.entry(reserved.address).or_default() += 1;
        if let Some(share) = share(reserved) {
            *shares.entry(share).or_default() += 1;
        }
    }
    for reserved in reservations {
        let has_several =
            share(reserved).is_some_and(|share| shares.get(&share).is_some_and(|count| *count > 1));
        let is_held_twice = files.get(&reserved.address).is_some_and(|count| *count > 1);
        let from_here = reserved.carriers.iter().filter(|carrier| carrier.is_from_here).count();
        reserved.is_duplicated = from_here > 1 || is_held_twice || has_several;
    }
}

fn summaries(network: &Network, reservations: &[Reserved]) -> Vec<RangeSummary> {
    let ranges = network.sets.iter().flat_map(|set| &set.ranges);
    let of_range = |range: &crate::range::Range| {
        let inside: Vec<_> =
            reservations.iter().filter(|reserved| range.contains(reserved.address)).collect();
        let size = network.size(range.start, range.end);
        summary(range.to_string(), size, &inside)
    };
    let mut summaries: Vec<_> = ranges.map(of_range).collect();
    let rest: Vec<_> =
        reservations.iter().filter(|reserved| reserved.is_outside || network.sets.is_empty()).collect();
    if !rest.is_empty() {
        let name = if network.sets.is_empty() { "(ranges unknown)" } else { "(outside every range)" };
        summaries.push(summary(name.to_owned(), 0, &rest));
    }
    summaries
}

fn summary(range: String, size: u128, reservations: &[&Reserved]) -> RangeSummary {
    let count = |is_counted: &dyn Fn(&Reserved) -> bool| {
        reservations.iter().filter(|reserved| is_counted(reserved)).count() as u64
    };
    let held = count(&|reserved| reserved.state != State::Corrupt);
    RangeSummary {
        range,
        size,
        held,
        free: size.saturating_sub(held.into()),
        leaked: count(&|reserved| reserved.state == State::Leaked),
        torn: count(&|reserved| reserved.state == State::Corrupt),
        duplicated: count(&|reserved| reserved.is_duplicated),
    }
}

#[cfg(test)]
mod tests;
