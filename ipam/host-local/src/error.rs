//! What can go wrong, and the code that a runtime gets for it.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use cni::{Failure, Version, code};
use ipnetwork::IpNetwork;

use crate::time;

/// Result of a verb.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a verb failed. Where tools read the reference's sentence, it is the reference's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The call or its config is wrong.
    #[error(transparent)]
    Protocol(#[from] cni::Error),
    /// The config has no `ipam`.
    #[error("IPAM config missing 'ipam' key")]
    NoIpam,
    /// There is nothing to allocate from.
    #[error("no IP ranges specified: want ipam.ranges, ipam.subnet or runtimeConfig.ipRanges")]
    NoRanges,
    /// A range set has no ranges.
    #[error("{key}: empty range set")]
    EmptySet {
        /// The set's key.
        key: String,
    },
    /// A range has no subnet.
    #[error("{key}.subnet is missing")]
    NoSubnet {
        /// The range's key.
        key: String,
    },
    /// A subnet of one address.
    #[error("{key}.subnet: Network {subnet} too small to allocate from")]
    TooSmall {
        /// The range's key.
        key: String,
        /// The subnet.
        subnet: IpNetwork,
    },
    /// A subnet of IPv4 addresses that is written in IPv6.
    #[error("{key}.subnet: {subnet} is an IPv4 subnet in IPv6 notation; want it as IPv4")]
    MappedSubnet {
        /// The range's key.
        key: String,
        /// The subnet.
        subnet: IpNetwork,
    },
    /// A range's end that is not in its subnet.
    #[error("{key}: {address} is not in subnet {subnet}")]
    OutsideSubnet {
        /// The key of the address.
        key: String,
        /// The address.
        address: IpAddr,
        /// The subnet.
        subnet: IpNetwork,
    },
    /// A range that ends before it starts.
    #[error("{key}.rangeEnd: {end} is before the range's start {start}")]
    Backwards {
        /// The range's key.
        key: String,
        /// The first address.
        start: IpAddr,
        /// The last address.
        end: IpAddr,
    },
    /// A set with ranges of both families.
    #[error("{key}: mixed address families")]
    MixedFamilies {
        /// The set's key.
        key: String,
    },
    /// Two ranges of a set that overlap.
    #[error("{key}: subnets {first} and {second} overlap")]
    RangesOverlap {
        /// The set's key.
        key: String,
        /// One range.
        first: String,
        /// The other.
        second: String,
    },
    /// Two sets that overlap.
    #[error("range set {} overlaps with {}: {} is {}, {} is {}", first.0, second.0, first.1, first.2, second.1, second.2)]
    SetsOverlap {
        /// One set: number, key, ranges.
        first: (usize, String, String),
        /// The other.
        second: (usize, String, String),
    },
    /// A result of the config's version has no room for all sets.
    #[error("CNI version {version} does not support more than 1 address per family")]
    OneAddressPerFamily {
        /// The config's version.
        version: Version,
    },
    /// A requested address that is none.
    #[error("{key}: {value:?} is not an IP address")]
    NotAnAddress {
        /// Where it was requested.
        key: String,
        /// What it says.
        value: String,
    },
    /// `ipam.resolvConf` cannot be read.
    #[error("ipam.resolvConf: cannot read {}: {source}", path.display())]
    ResolvConf {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Requested addresses that are in no range, or in one range set with another requested one.
    #[error("failed to allocate all requested IPs: {}", list(addresses, " "))]
    Unfulfilled {
        /// Those addresses.
        addresses: Vec<IpAddr>,
        /// The range sets with their keys.
        sets: Vec<(String, String)>,
    },
    /// A range set that gave no address.
    #[error("failed to allocate for range {set}: {source}")]
    Allocation {
        /// The set's number.
        set: usize,
        /// Why.
        source: Box<Error>,
    },
    /// Every address of the set is held.
    #[error("no IP addresses available in range set: {ranges}")]
    Exhausted {
        /// The set.
        ranges: String,
    },
    /// The attachment has an address of the set already.
    #[error("{address} has been allocated to {container_id}, duplicate allocation is not allowed")]
    Duplicate {
        /// The address.
        address: IpAddr,
        /// `CNI_CONTAINERID`.
        container_id: String,
        /// The reservation.
        path: PathBuf,
        /// When it was made.
        since: Option<SystemTime>,
    },
    /// A requested address is held.
    #[error("requested IP address {address} is not available in range set {ranges}")]
    Held {
        /// The address.
        address: IpAddr,
        /// The set.
        ranges: String,
        /// The holder.
        holder: String,
        /// The reservation.
        path: PathBuf,
        /// When it was made.
        since: Option<SystemTime>,
    },
    /// A requested address is a gateway's.
    #[error("requested ip {address} is subnet's gateway")]
    IsGateway {
        /// The address.
        address: IpAddr,
    },
    /// A requested address is excluded.
    #[error("requested IP address {address} is excluded by ipam.exclude: {by}")]
    IsExcluded {
        /// The address.
        address: IpAddr,
        /// The prefix that it is in.
        by: IpNetwork,
    },
    /// CHECK: the attachment has no address.
    #[error("host-local: Failed to find address added by container {container_id}")]
    NotReserved {
        /// `CNI_CONTAINERID`.
        container_id: String,
    },
    /// The directory of the reservations cannot be made.
    #[error("ipam.dataDir: cannot create directory {}: {source}", path.display())]
    CreateDirectory {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The lock file cannot be opened.
    #[error("ipam.dataDir: cannot open {}: {source}", path.display())]
    OpenLock {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The lock cannot be had.
    #[error("cannot lock {}: {source}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The lock was not given back in time.
    #[error(
        "cannot lock {} within {} s (ipam.lockTimeoutSeconds): {}",
        path.display(), patience.as_secs_f32(), holders_or_unknown(holders)
    )]
    LockTimeout {
        /// The file.
        path: PathBuf,
        /// How long it was waited for.
        patience: Duration,
        /// The processes that have it, as far as the kernel tells.
        holders: Vec<String>,
    },
    /// The directory cannot be read.
    #[error("cannot read directory {}: {source}", path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// GC: a reservation cannot be looked at.
    #[error("cannot read {}: {source}; its address stays reserved", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// GC: network namespaces cannot be looked into, so that processes may use the addresses.
    #[error(
        "{count} addresses that are not in the list of valid attachments stay reserved, for processes may use them: {reason}"
    )]
    Blind {
        /// How many.
        count: usize,
        /// Why there was no look.
        reason: linux::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A reservation cannot be removed.
    #[error("cannot remove {}: {source}", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// More than one thing went wrong, and the rest was done.
    #[error("{}", list(errors, "; "))]
    Several {
        /// Each of them.
        errors: Vec<Error>,
    },
    /// STATUS: ADD cannot be served.
    #[error(transparent)]
    NotAvailable(Box<Error>),
}

impl Error {
    /// One error of those that a verb collected while it went on.
    ///
    /// # Errors
    /// What was collected, if anything.
    pub(crate) fn collected(mut errors: Vec<Self>) -> Result<()> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Several { errors }),
        }
    }

    /// What the operator can do, where the sentence is the reference's and does not say.
    fn advice(&self) -> String {
        match self {
            Self::Allocation { source, .. } => source.advice(),
            Self::NotAvailable(source) => source.advice(),
            Self::Duplicate { path, since, container_id, .. } => format!(
                "{} says so since {}; DEL for container {container_id} gives the address back, and so does \
                 weir ipam release if the container is gone",
                path.display(),
                time_or_unknown(*since),
            ),
            Self::Held { holder, path, since, .. } => format!(
                "{} holds it for {holder} since {}; weir ipam audit shows what is there of that",
                path.display(),
                time_or_unknown(*since),
            ),
            Self::Unfulfilled { sets, .. } => {
                let sets: Vec<_> = sets.iter().map(|(key, ranges)| format!("{key} has {ranges}")).collect();
                format!("each range set gives one address of its ranges: {}", list(&sets, ", "))
            }
            Self::Exhausted { .. } => {
                "weir ipam audit shows who holds them, weir ipam reclaim frees what nobody uses".to_owned()
            }
            _ => String::new(),
        }
    }

    fn code(&self) -> u32 {
        match self {
            Self::NoIpam
            | Self::NoRanges
            | Self::EmptySet { .. }
            | Self::NoSubnet { .. }
            | Self::TooSmall { .. }
            | Self::MappedSubnet { .. }
            | Self::OutsideSubnet { .. }
            | Self::Backwards { .. }
            | Self::MixedFamilies { .. }
            | Self::RangesOverlap { .. }
            | Self::SetsOverlap { .. }
            | Self::OneAddressPerFamily { .. }
            | Self::NotAnAddress { .. } => code::INVALID_CONFIG,
            Self::ResolvConf { .. }
            | Self::CreateDirectory { .. }
            | Self::OpenLock { .. }
            | Self::List { .. }
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::Remove { .. } => code::IO_FAILURE,
            Self::Lock { .. } | Self::LockTimeout { .. } => code::TRY_AGAIN_LATER,
            Self::Allocation { source, .. } => source.code(),
            Self::Several { errors } => errors.first().map_or(code::INTERNAL, Self::code),
            Self::NotAvailable(_) => code::NOT_AVAILABLE,
            Self::Protocol(_)
            | Self::Unfulfilled { .. }
            | Self::Exhausted { .. }
            | Self::Duplicate { .. }
            | Self::Held { .. }
            | Self::IsGateway { .. }
            | Self::IsExcluded { .. }
            | Self::Blind { .. }
            | Self::NotReserved { .. } => code::INTERNAL,
        }
    }
}

impl From<Error> for Failure {
    /// The one place that gives this plugin's errors their codes.
    fn from(error: Error) -> Self {
        match error {
            Error::Protocol(error) => error.into(),
            error => Self { details: error.advice(), ..Self::new(error.code(), error.to_string()) },
        }
    }
}

fn time_or_unknown(time: Option<SystemTime>) -> String {
    time.map_or_else(|| "an unknown time".to_owned(), time::utc)
}

fn holders_or_unknown(holders: &[String]) -> String {
    match holders.is_empty() {
        true => "the kernel does not tell who has it".to_owned(),
        false => format!("{} has it", list(holders, ", ")),
    }
}

fn list(items: &[impl ToString], separator: &str) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}
